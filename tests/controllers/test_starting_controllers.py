"""The list of controllers that a server runs, which an embedder may extend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kcp.controllers.manager import CONTROLLERS, Manager
from kcp.registry.verbs.registry import Registry
from tests.support.registry_client import RegistryClient


def recorder(log: list[str], name: str) -> Callable[[Registry], Recorder]:
    return lambda registry: Recorder(log, name, registry)


class Recorder:
    def __init__(self, log: list[str], name: str, registry: Registry) -> None:
        self._log = log
        self._name = name
        self._log.append(f"make {name}")
        self.registry = registry

    async def start(self) -> None:
        self._log.append(f"start {self._name}")

    async def stop(self) -> None:
        self._log.append(f"stop {self._name}")


async def test_controllers_start_in_the_order_of_the_list_and_stop_in_reverse(client: RegistryClient) -> None:
    log: list[str] = []
    manager = Manager(client.registry, [recorder(log, "a"), recorder(log, "b")])
    await manager.start()
    await manager.stop()
    assert log == ["make a", "make b", "start a", "start b", "stop b", "stop a"]


async def test_each_start_makes_the_controllers_anew(client: RegistryClient) -> None:
    log: list[str] = []
    manager = Manager(client.registry, [*CONTROLLERS, recorder(log, "own")])
    for _ in range(2):
        await manager.start()
        await manager.stop()
    assert log == ["make own", "start own", "stop own"] * 2


class Broken(Recorder):
    async def start(self) -> None:
        await super().start()
        raise OSError("cannot start")


async def test_controllers_are_stopped_when_one_cannot_start(client: RegistryClient) -> None:
    log: list[str] = []
    manager = Manager(client.registry, [recorder(log, "a"), lambda registry: Broken(log, "b", registry)])
    with pytest.raises(OSError, match="cannot start"):
        await manager.start()
    assert log == ["make a", "make b", "start a", "start b", "stop b", "stop a"]


async def test_the_controllers_of_a_registry_can_be_stopped_before_they_have_started(client: RegistryClient) -> None:
    before = asyncio.all_tasks()
    for factory in CONTROLLERS:
        await factory(client.registry).stop()
    assert asyncio.all_tasks() == before
