"""Events: what controllers tell users about objects, aggregated so that a fault in a loop does not flood the server."""
