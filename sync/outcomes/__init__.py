"""What became of each write: its answer, a lost answer, a loss, an audit, a dead letter."""
