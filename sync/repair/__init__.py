"""Comparing the store with a CRM, and taking writes back."""
