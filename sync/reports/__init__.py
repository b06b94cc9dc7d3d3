"""What people read: the morning's list, the state of connections, where a value came from."""
