"""Starting and stopping the in-process controllers together."""

from __future__ import annotations

from typing import Protocol

from kcp.controllers.definitions import DefinitionController
from kcp.controllers.garbage_collection import GarbageCollector
from kcp.controllers.namespaces import NamespaceController
from kcp.registry.verbs.registry import Registry


class Controller(Protocol):
    """What the manager runs."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Manager:
    """All controllers of a server. May be started again when it has been stopped: each start learns anew."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._controllers: list[Controller] = []

    async def start(self) -> None:
        """Start each; returns when all have seen what is there."""
        registry = self._registry
        self._controllers = [
            DefinitionController(registry),
            NamespaceController(registry),
            GarbageCollector(registry),
        ]
        for controller in self._controllers:
            await controller.start()

    async def stop(self) -> None:
        """Stop each, the last started first."""
        for controller in reversed(self._controllers):
            await controller.stop()
