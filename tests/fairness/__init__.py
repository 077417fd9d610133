"""Fair queueing: what one tenant does, another hardly notices."""
