"""What is mounted beside the resources: discovery, OpenAPI, version, health, metrics, and the index of paths."""
