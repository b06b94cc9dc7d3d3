"""What sync remembers: links, bases, intents, inbox, cursors, runs, conflicts, dead letters."""
