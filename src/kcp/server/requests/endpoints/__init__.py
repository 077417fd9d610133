"""The default mounts: discovery, OpenAPI, version, health, metrics, and the index of paths."""
