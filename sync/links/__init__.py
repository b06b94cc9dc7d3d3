"""Links between registrations and records: made, undone, and moved to another org."""
