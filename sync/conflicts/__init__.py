"""Conflicts and orphans as people settle them."""
