"""Recording of Events, with aggregation: a controller that fails in a loop does not flood the server."""
