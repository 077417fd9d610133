"""The HTTP edge: from an ASGI request to a verb of the registry and back. Holds no rule of the API itself."""
