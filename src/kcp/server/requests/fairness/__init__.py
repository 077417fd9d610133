"""Fair queueing of requests, by logical cluster and then by user, over the time of the event loop."""
