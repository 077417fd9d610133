"""The way of a request: read, authenticate, authorize, serve, answer."""
