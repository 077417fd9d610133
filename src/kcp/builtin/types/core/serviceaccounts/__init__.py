"""ServiceAccounts (core/v1)."""

from __future__ import annotations

from typing import Any, ClassVar

from kcp.builtin.fields import maps
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object


class ServiceAccountStrategy(BuiltinStrategy):
    """ServiceAccounts."""

    deletion_keeps_object: ClassVar[bool] = True

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        _keep_names(obj)

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        _keep_names(obj)

    def cells(self, obj: Object) -> list[Any] | None:
        return [age(obj)]


def _keep_names(obj: Object) -> None:
    """Keep nothing but the names of the referenced Secrets, in place: they are in the account's namespace."""
    for reference in maps(obj, "secrets"):
        for name in [name for name in reference if name != "name"]:
            del reference[name]
