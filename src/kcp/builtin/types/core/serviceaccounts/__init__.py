"""ServiceAccounts (core/v1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from typing import Any, ClassVar, Final

from kcp.api import times
from kcp.api.metadata import new_uid
from kcp.builtin.fields import mapping, maps
from kcp.builtin.rules.virtual_objects import virtual_metadata
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.builtin.types.core.serviceaccounts.token_requests import token_request_type
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.types.strategies import Object

DEFAULT_NAME: Final = "default"
"""The account that every namespace has."""
_MOUNTABLE: Final = "kubernetes.io/enforce-mountable-secrets"
_DEPRECATED: Final = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"


class ServiceAccountStrategy(BuiltinStrategy):
    """ServiceAccounts."""

    deletion_keeps_object: ClassVar[bool] = True
    virtual_names: ClassVar[Collection[str]] = (DEFAULT_NAME,)

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        _keep_names(obj)

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        _keep_names(obj)

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        before = mapping(old["metadata"], "annotations") if old is not None else {}
        if _MOUNTABLE in before or _MOUNTABLE not in mapping(obj["metadata"], "annotations"):
            return ()
        return (f"metadata.annotations[{_MOUNTABLE}]: {_DEPRECATED}",)

    def type_of_subresource(self, name: str) -> Callable[[], ResourceType] | None:
        return cache(partial(token_request_type, self.context)) if name == "token" else None

    def virtual_in_namespace(self, cluster: LogicalClusterName, namespace: str, stored: Object | None) -> Object | None:
        meta = virtual_metadata(self.context, cluster, namespace, stored, "serviceaccounts", DEFAULT_NAME)
        return None if meta is None else {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}

    def recreated(self, obj: Object, context: RequestContext) -> Object | None:
        """An account that is deleted must not come back with its UID: its tokens would be valid again."""
        old = obj["metadata"]
        meta = {"name": old["name"], "namespace": old["namespace"], "uid": new_uid(), "creationTimestamp": times.now()}
        return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}

    def cells(self, obj: Object) -> list[Any] | None:
        return [age(obj)]


def _keep_names(obj: Object) -> None:
    """Keep nothing but the names of the referenced Secrets, in place: they are in the account's namespace."""
    for reference in maps(obj, "secrets"):
        for name in [name for name in reference if name != "name"]:
            del reference[name]
