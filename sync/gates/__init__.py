"""What holds writes back: the go-live ladder, the caps, and what waits for a person."""
