"""The account directory: brought up to date, guarded against gaps, and searched for a check."""
