"""The API server over HTTP: from an ASGI request to a verb of the registry and back. Has no rules of the API itself."""
