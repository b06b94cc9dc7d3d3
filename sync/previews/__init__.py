"""What a run would do, read only, and how a new mapping comes into force."""
