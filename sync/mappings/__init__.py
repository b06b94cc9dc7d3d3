"""Mappings as they are in force: versions, live schemas, and what a connection needs."""
