"""Announcements: wording and channels, and the drain that delivers what the store has kept."""
