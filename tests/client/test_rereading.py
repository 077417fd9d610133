"""A server that is not trusted: what its lists and watches have said is read again, and corrected."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from kcp.client import APIResource, Client, FollowOptions, Informer, ObjectKey
from tests.client.scripted_servers import Handler, answer, config_map, refusal, scripted
from tests.support.waiting import eventually

CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")


class LyingServer:
    """Lists what it is told to, and watches without an event and without an end."""

    def __init__(self, *items: dict[str, Any], version: str = "10") -> None:
        self.items = list(items)
        self.version = version
        self.lists = 0
        self.watches: list[str] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if "watch" not in request.rel_url.query:
            self.lists += 1
            listed = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": self.version}}
            return answer({**listed, "items": self.items})
        version = request.rel_url.query["resourceVersion"]
        self.watches.append(version)
        if not version.isdigit():
            return refusal(400, "BadRequest", "the resource version is invalid")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await eventually(lambda: request.transport is None, "the client has gone")
        return response


def informer(client: Client, **options: Any) -> Informer:
    """An informer of ConfigMaps, which lists."""
    follow = FollowOptions(streaming=False, first_delay=0.01, last_delay=0.02, **options)
    return Informer(client.resource(CONFIG_MAPS, "default"), client.cluster_of_objects, options=follow)


def handled(server: LyingServer) -> Handler:
    return server.handle


async def test_what_a_watch_did_not_say_is_read_again() -> None:
    """Also what has the version that is cached: a list may have told it with other fields."""
    lying = LyingServer(config_map("same", 5, color="false"), config_map("gone", 6), config_map("changed", 7))
    async with scripted(handled(lying)) as server, server.client(retries=0) as client:
        followed = informer(client, reread=0.05)
        followed.start()
        await followed.synchronized()
        lying.items = [config_map("same", 5, color="true"), config_map("changed", 9), config_map("new", 8)]

        def found() -> dict[str, tuple[str, bool]]:
            return {each.key.name: (each.resource_version, b"true" in each.data) for each in followed.cache}

        expected = {"same": ("5", True), "changed": ("9", False), "new": ("8", False)}
        await eventually(lambda: found() == expected, "the cache is what the server has")
        changes: list[ObjectKey] = []
        followed.add_handler(lambda change: changes.append(change.key))
        changes.clear()
        lists = lying.lists
        await eventually(lambda: lying.lists > lists + 2, "it is read again")
        assert changes == []
        await followed.stop()


async def test_a_version_that_a_server_does_not_know_any_more_is_forgotten() -> None:
    lying = LyingServer(config_map("a", 5), version="not-a-version")
    async with scripted(handled(lying)) as server, server.client(retries=0) as client:
        followed = informer(client)
        followed.start()
        await eventually(lambda: lying.watches, "it is watched")
        lying.version = "12"
        await eventually(lambda: lying.watches[-1] == "12", "the objects are listed again")
        await followed.stop()
