"""A client of a registry over a fresh log, and its controllers."""

from tests.support.registry_client import client, controllers  # noqa: F401 - fixtures
