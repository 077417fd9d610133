"""Authorizers of the configuration: modes, the ordered authorizers of a file, and webhooks."""
