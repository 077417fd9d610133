"""The path of a request: read, authenticate, impersonate, authorize, filter, route, queue, serve, audit."""
