"""ServiceAccounts (core/v1)."""

from __future__ import annotations

from typing import Any, ClassVar

from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.registry.types.strategies import Object


class ServiceAccountStrategy(BuiltinStrategy):
    """ServiceAccounts."""

    deletion_keeps_object: ClassVar[bool] = True

    def cells(self, obj: Object) -> list[Any] | None:
        return [age(obj)]
