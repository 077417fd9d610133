"""The error with which a start ends, or a reload is refused."""

from __future__ import annotations


class ConfigurationError(Exception):
    """A server cannot start with this configuration; the message is one line that says why and what to do."""
