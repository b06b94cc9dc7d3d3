"""What each call to a CRM passes: the switch, the budget, the pause and the sign-in."""
