"""A server accepts and refuses writes by what other servers have acknowledged, even before its own replica shows it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from tests.distributed.conftest import StartServers
from tests.support.clients import Address, Connection
from tests.support.objects import config_map
from tests.support.waiting import eventually

NAMESPACES = "/api/v1/namespaces"
CLIENTS = 12
TURNS = 15


async def test_writes_see_what_another_server_has_acknowledged(start_servers: StartServers) -> None:
    first, second = start_servers(2)

    async def told(
        connection: Connection, method: str, path: str, body: Any, media_type: str = "application/json"
    ) -> str:
        answer = await connection.request(method, path, body, media_type=media_type)
        assert answer.status in (200, 201), (method, path, answer.body)
        return str(answer.json["metadata"].get("resourceVersion"))

    async def client(name: str) -> None:
        async with Connection(Address.of(first)) as here, Connection(Address.of(second)) as there:
            for turn in range(TURNS):
                namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{name}-{turn}"}}
                await told(here, "POST", NAMESPACES, namespace)
                collection = f"{NAMESPACES}/{name}-{turn}/configmaps"
                revision = await told(there, "POST", collection, config_map("a", step="1"))
                changed = config_map("a", step="2")
                changed["metadata"]["resourceVersion"] = revision
                revision = await told(here, "PUT", f"{collection}/a", changed)
                part = {"metadata": {"resourceVersion": revision}, "data": {"step": "3"}}
                revision = await told(there, "PATCH", f"{collection}/a", part, "application/merge-patch+json")
                condition = {"preconditions": {"resourceVersion": revision}}
                await told(here, "DELETE", f"{collection}/a", condition)

    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(f"n{number}"))


async def is_gone(connection: Connection, path: str) -> bool:
    return (await connection.request("GET", path)).status == 404


async def test_nothing_is_created_in_a_namespace_that_another_server_deletes(
    start_servers: StartServers,
) -> None:
    """Such an object would outlive its namespace, and appear in the next one of that name."""
    first, second = start_servers(2)

    async def client(name: str) -> None:
        async with Connection(Address.of(first)) as here, Connection(Address.of(second)) as there:
            for turn in range(TURNS):
                namespace = f"{name}-{turn}"
                body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
                assert (await here.request("POST", NAMESPACES, body)).status == 201
                collection = f"{NAMESPACES}/{namespace}/configmaps"
                assert (await there.request("POST", collection, config_map("a"))).status == 201
                assert (await here.request("DELETE", f"{NAMESPACES}/{namespace}")).status == 200
                late = await there.request("POST", collection, config_map("late"))
                assert late.status in (403, 404), late.body
                await eventually(partial(is_gone, there, f"{NAMESPACES}/{namespace}"), f"{namespace} is deleted")
                assert (await there.request("GET", collection)).json["items"] == []

    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(client(f"n{number}"))
