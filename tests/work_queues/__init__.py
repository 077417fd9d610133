"""Work queues and time slices."""
