"""Metrics, health checks and the request log."""
