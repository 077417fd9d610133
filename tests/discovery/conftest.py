"""A client of a registry over a fresh log, for each test."""

from tests.support.registry_client import client  # noqa: F401 - a fixture
