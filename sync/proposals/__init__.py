"""Existing records that a registration may already have: found, graded and brought in."""
