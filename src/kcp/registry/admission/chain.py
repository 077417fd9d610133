"""The admission chain: what may change or refuse a write between its decoding and the log.

Follows kube-apiserver's admission plugins: all mutating ones first, then the schema and the type's own rules, then all
validating ones. The chain is empty unless the server's composition fills it; namespace lifecycle is part of the verbs
themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target


@dataclass(slots=True)
class Attributes:
    """A write as admission sees it. ``object`` is None for a delete; a mutating plugin changes it in place."""

    context: RequestContext
    target: Target
    operation: str
    object: dict[str, Any] | None
    old_object: dict[str, Any] | None


class Plugin(Protocol):
    """One member of the chain. Refusals are StatusErrors."""

    async def mutate(self, attributes: Attributes) -> None: ...

    async def validate(self, attributes: Attributes) -> None: ...


class Chain:
    """The plugins in order."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)

    def __bool__(self) -> bool:
        return bool(self._plugins)

    async def mutate(self, attributes: Attributes) -> None:
        """Let each plugin change the object."""
        for plugin in self._plugins:
            await plugin.mutate(attributes)

    async def validate(self, attributes: Attributes) -> None:
        """Let each plugin refuse the object."""
        for plugin in self._plugins:
            await plugin.validate(attributes)
