"""Decisions about one record, and the rows that keep them until they are carried out."""
