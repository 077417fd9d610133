"""Starts and stops the controllers of a server together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from kcp.controllers.cluster_roles import ClusterRoleAggregation
from kcp.controllers.definitions import DefinitionController
from kcp.controllers.garbage_collection import GarbageCollector
from kcp.controllers.namespaces import NamespaceController
from kcp.registry.verbs.registry import Registry


class Controller(Protocol):
    """A controller. ``start`` returns when it has queued everything that is present; ``stop``, when it does nothing more."""

    async def start(self) -> None:
        """Start; return when everything that is present is queued."""

    async def stop(self) -> None:
        """Stop, also after a start that failed; return when the controller does nothing more."""


ControllerFactory = Callable[[Registry], Controller]

CONTROLLERS: Final[tuple[ControllerFactory, ...]] = (
    DefinitionController,
    NamespaceController,
    GarbageCollector,
    ClusterRoleAggregation,
)
"""The controllers of every server that need nothing but its registry, in the order in which they start."""


class Manager:
    """The controllers of a server, made by their factories at each start."""

    def __init__(self, registry: Registry, factories: Sequence[ControllerFactory] = CONTROLLERS) -> None:
        self._registry = registry
        self._factories = tuple(factories)
        self._controllers: list[Controller] = []

    async def start(self) -> None:
        """Start each controller; return when each has queued what is present. If one cannot start, all are stopped."""
        self._controllers = [factory(self._registry) for factory in self._factories]
        try:
            for controller in self._controllers:
                await controller.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop each controller, the last started first."""
        for controller in reversed(self._controllers):
            await controller.stop()
        self._controllers = []
