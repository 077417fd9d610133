"""The objects that tokens name: service accounts, and the Secrets, Pods and Nodes that tokens are bound to.

They are read as any request reads them, so that a virtual account counts. Pods and Nodes exist where a
CustomResourceDefinition defines them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kcp.api import documents
from kcp.auth.service_accounts.claims import Account
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.records import VIRTUAL_REVISION, key_of
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.source import DamagedObjectError
from kcp.store.contract import Key

ACCOUNTS: Final = "serviceaccounts"
PLURALS: Final[Mapping[str, str]] = {"pod": "pods", "secret": "secrets", "node": "nodes"}
"""The resources to whose objects tokens can be bound, by the name of the claim."""
FOLLOWED: Final = (ACCOUNTS, *PLURALS.values(), "namespaces")
"""The resources whose changes may end tokens: a virtual account ends with its namespace."""


class Found(NamedTuple):
    """An object, and the keys of the log whose changes may end it."""

    object: dict[str, Any]
    keys: tuple[Key, ...]


class BoundObjects:
    """Reads the objects of one server's log. The registry is given once it exists: it uses authenticators itself."""

    def __init__(self) -> None:
        self._registry: Registry | None = None

    def read_from(self, registry: Registry) -> None:
        """Read through a registry from now on."""
        self._registry = registry

    @property
    def registry(self) -> Registry:
        """The registry."""
        assert self._registry is not None, "no request is served before the registry is there"
        return self._registry

    async def type_of(self, plural: str, cluster: LogicalClusterName) -> ResourceType | None:
        """Return the type of a resource of the core group; None where it is not served or has no objects."""
        found = await self.registry.catalog.look_up(cluster, "", "v1", plural)
        return None if found is None or found.placeholder else found

    def find(self, type_: ResourceType, cluster: LogicalClusterName, namespace: str, name: str) -> Found | None:
        """Return the durable object of a name as this server knows it. A damaged one counts as absent."""
        namespace = namespace if type_.namespaced else ""
        try:
            record = self.registry.source.get(type_, cluster, namespace, name)
        except DamagedObjectError:
            return None
        if record is None:
            return None
        keys: tuple[Key, ...] = (key_of(type_, cluster, namespace, name),)
        if record.revision == VIRTUAL_REVISION:
            keys = (*keys, Key("namespaces", cluster, "", namespace))
        return Found(documents.decode_stored(record.value), keys)

    def find_account(self, account: Account) -> Found | None:
        """Return a service account."""
        return self.find(
            self.registry.catalog.builtin("", "v1", ACCOUNTS), account.cluster, account.namespace, account.name
        )
