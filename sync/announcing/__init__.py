"""Announcements: their wording, and the drain that delivers what the store has kept."""
