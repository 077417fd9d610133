"""Following a resource on a misbehaving server: cut streams, 410 storms, stale lists, events that come twice or late, silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from kcp.client import Informer
from kcp.client.reflectors import FollowOptions
from kcp.logical_clusters import UNNAMED
from tests.client.resources import CONFIG_MAPS
from tests.client.scripted_servers import (
    ScriptedServer,
    answer,
    bookmark,
    config_map,
    config_map_list,
    event,
    refusal,
    scripted,
    stream,
)
from tests.support.waiting import eventually

EXPIRED = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}

Step = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def listing(version: int, *names: str) -> Step:
    async def step(_request: web.BaseRequest) -> web.StreamResponse:
        return answer(config_map_list(version, *(config_map(name, 1) for name in names)))

    return step


def watching(*pieces: bytes, **options: bool) -> Step:
    return lambda request: stream(request, *pieces, **options)


def refusing(code: int, reason: str) -> Step:
    async def step(_request: web.BaseRequest) -> web.StreamResponse:
        return refusal(code, reason)

    return step


SILENT = watching(hold=True)


@asynccontextmanager
async def followed(*steps: Step, **options: object) -> AsyncIterator[tuple[Informer, ScriptedServer]]:
    """An informer of a server that takes a step for each request, and the last one for every further request."""
    left = list(steps)

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

    chosen: dict[str, object] = {"streaming": False, "first_delay": 0.01, "last_delay": 0.02, **options}
    async with scripted(handler) as server, server.client() as client:
        informer = Informer(client.resource(CONFIG_MAPS), UNNAMED, options=FollowOptions(**chosen))  # type: ignore[arg-type]
        informer.start()
        try:
            yield informer, server
        finally:
            await informer.stop()


def content(informer: Informer) -> dict[str, str]:
    return {object_.key.name: object_.resource_version for object_ in informer.cache}


async def becomes(informer: Informer, expected: dict[str, str]) -> None:
    await eventually(lambda: content(informer) == expected, f"the cache has {expected}")


def versions(server: ScriptedServer) -> list[str]:
    """What each request asked for: ``list``, or a watch from a resource version."""
    found = []
    for request in server.requests:
        parameters = dict(part.partition("=")[::2] for part in request.partition("?")[2].split("&"))
        found.append(parameters.get("resourceVersion", "initial") if "watch" in parameters else "list")
    return found


async def test_a_cut_stream_is_opened_again_at_the_last_event() -> None:
    first = watching(event("ADDED", config_map("b", 7)), cut=True)
    second = watching(event("MODIFIED", config_map("a", 9)), b'{"type":"ADD', cut=True)
    async with followed(listing(5, "a"), first, second, SILENT) as (informer, server):
        await becomes(informer, {"a": "9", "b": "7"})
        await eventually(lambda: versions(server) == ["list", "5", "7", "9"], "it goes on after each event")


async def test_a_bookmark_moves_the_version_without_an_event() -> None:
    async with followed(listing(5), watching(bookmark(50)), SILENT) as (informer, server):
        await eventually(lambda: versions(server) == ["list", "5", "50"], "it goes on at the bookmark")
        assert informer.resource_version == "50"


@pytest.mark.parametrize("step", [refusing(410, "Expired"), watching(event("ERROR", EXPIRED))], ids=["answer", "event"])
async def test_a_version_that_is_gone_means_a_new_list_and_what_is_not_in_it_is_deleted(step: Step) -> None:
    heard: list[tuple[str, bool]] = []
    gate = asyncio.Event()

    async def gated(request: web.BaseRequest) -> web.StreamResponse:
        await gate.wait()
        return await step(request)

    async with followed(listing(5, "a", "b"), gated, listing(9, "b", "c"), SILENT) as (informer, server):
        await informer.synchronized()
        informer.add_handler(lambda change: heard.append((change.key.name, change.new is not None)))
        gate.set()
        await becomes(informer, {"b": "1", "c": "1"})
        assert heard == [("a", True), ("b", True), ("c", True), ("a", False)]
        await eventually(lambda: versions(server) == ["list", "5", "list", "9"], "the watch begins at the new list")


async def test_a_storm_of_410_is_slowed_down_more_and_more() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if "watch" in request.query:
            return refusal(410, "Expired")
        return answer(config_map_list(5, config_map("a", 1)))

    async with scripted(handler) as server, server.client() as client:
        options = FollowOptions(streaming=False, first_delay=0.001, last_delay=1000.0)
        informer = Informer(client.resource(CONFIG_MAPS), UNNAMED, options=options)
        informer.start()
        await eventually(lambda: informer._reflector._failures >= 7, "seven failures")
        assert len(server.requests) <= 2 * informer._reflector._failures + 1  # a list and a watch for each delay
        assert content(informer) == {"a": "1"}
        await informer.stop()


@pytest.mark.parametrize("pieces", [(), (bookmark(5),), (event("MODIFIED", config_map("a", 4)),)])
async def test_a_server_that_ends_every_watch_at_once_is_not_asked_without_pause(pieces: tuple[bytes, ...]) -> None:
    async with followed(listing(5), watching(*pieces), first_delay=0.001, last_delay=1000.0) as (informer, server):
        await eventually(lambda: informer._reflector._failures >= 7, "seven failures")
        assert len(server.requests) <= informer._reflector._failures + 20


async def test_a_list_that_is_older_than_what_was_seen_is_not_believed() -> None:
    steps = (listing(50, "a", "b"), refusing(410, "Expired"), listing(7, "a"), listing(60, "b"), SILENT)
    deleted: list[str] = []
    async with followed(*steps) as (informer, server):
        informer.add_handler(lambda change: deleted.append(change.key.name) if change.new is None else None)
        await becomes(informer, {"b": "1"})
        assert deleted == ["a"]
        await eventually(lambda: versions(server) == ["list", "50", "list", "list", "60"], "the stale list is repeated")


async def test_a_server_whose_data_were_restored_is_believed_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    stale = [listing(7, "a")] * 6
    async with followed(listing(50, "a", "b"), refusing(410, "Expired"), *stale, SILENT) as (informer, _):
        await becomes(informer, {"a": "1"})
        assert informer.resource_version == "7"
    assert "the resource version went back to 7: the server's data were restored" in caplog.text


async def test_a_watch_from_a_version_that_the_server_has_not_reached_means_a_new_list() -> None:
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    status = {**EXPIRED, "code": 504, "reason": "Timeout", "details": {"causes": causes}}

    async def step(_request: web.BaseRequest) -> web.StreamResponse:
        return answer(status, 504)

    async with followed(listing(5, "a"), step, listing(6, "b"), SILENT) as (informer, _):
        await becomes(informer, {"b": "1"})


async def test_events_that_come_twice_or_late_change_nothing() -> None:
    heard: list[str] = []
    a5, a7 = config_map("a", 5), config_map("a", 7)
    other = {**config_map("a", 4), "metadata": {**config_map("a", 4)["metadata"], "uid": "an earlier one"}}
    events = [
        event("MODIFIED", a7),
        event("MODIFIED", a7),
        event("MODIFIED", a5),
        event("DELETED", other),
        event("DELETED", config_map("never", 6)),
        event("ADDED", config_map("gone", 8)),
        event("DELETED", config_map("gone", 9)),
        event("MODIFIED", config_map("gone", 8)),
        event("ADDED", config_map("end", 10)),
    ]
    async with followed(listing(1), watching(event("ADDED", a5), *events, hold=True)) as (informer, _):
        informer.add_handler(
            lambda change: heard.append(f"{change.key.name} {change.new and change.new.resource_version}")
        )
        await becomes(informer, {"a": "7", "end": "10"})
    assert heard == ["a 5", "a 7", "gone 8", "gone None", "end 10"]


async def test_a_recreated_object_replaces_the_one_whose_deletion_was_missed() -> None:
    recreated = {**config_map("a", 9), "metadata": {**config_map("a", 9)["metadata"], "uid": "another"}}
    async with followed(listing(5, "a"), watching(event("ADDED", recreated), hold=True)) as (informer, _):
        await becomes(informer, {"a": "9"})
        (found,) = informer.cache
        assert found.uid == "another"


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"{}\n",
        b'{"type":"GONE","object":{}}\n',
        b'{"type":"ADDED","object":{"metadata":{"name":7}}}\n',
        b'{"type":["ADDED"],"object":{"metadata":{}}}\n',
        b"\xff\xfe\n",
    ],
)
async def test_what_is_no_event_ends_the_watch_and_not_the_informer(line: bytes) -> None:
    async with followed(listing(5), watching(event("ADDED", config_map("a", 6)), line), SILENT) as (informer, server):
        await becomes(informer, {"a": "6"})
        await eventually(lambda: versions(server) == ["list", "5", "6"], "it goes on after the last event")


async def test_another_error_event_is_retried_at_the_same_version() -> None:
    status = {**EXPIRED, "code": 500, "reason": "InternalError"}
    async with followed(listing(5, "a"), watching(event("ERROR", status)), SILENT) as (_, server):
        await eventually(lambda: versions(server) == ["list", "5", "5"], "it goes on")


async def test_an_event_in_many_pieces_is_one_event() -> None:
    whole = event("ADDED", config_map("a", 6, text="ü" * 1000))
    pieces = [whole[start : start + 7] for start in range(0, len(whole), 7)]
    async with followed(listing(5), watching(*pieces, hold=True)) as (informer, _):
        await becomes(informer, {"a": "6"})


async def test_the_present_objects_come_as_a_stream_where_the_server_has_it() -> None:
    initial = [event("ADDED", config_map("a", 1)), bookmark(5, initial=True)]
    step = watching(*initial, event("ADDED", config_map("b", 6)), cut=True)
    async with followed(step, SILENT, streaming=True) as (informer, server):
        await becomes(informer, {"a": "1", "b": "6"})
        await eventually(lambda: versions(server) == ["initial", "6"], "it goes on as a watch")
        assert "sendInitialEvents=true" in server.requests[0]
        assert "resourceVersionMatch=NotOlderThan" in server.requests[0]


@pytest.mark.parametrize(
    "step",
    [
        refusing(422, "Invalid"),
        refusing(400, "BadRequest"),
        watching(event("ADDED", config_map("a", 1))),
        watching(event("ADDED", config_map("a", 1)), hold=True),
        SILENT,
    ],
    ids=["422", "400", "a stream that ends", "a stream that goes silent", "nothing at all"],
)
async def test_a_server_that_does_not_stream_initial_events_is_asked_for_a_list(step: Step) -> None:
    async with followed(step, listing(5, "b"), SILENT, streaming=True, silence=0.3) as (informer, server):
        await informer.synchronized()
        assert content(informer) == {"b": "1"}
        await eventually(lambda: versions(server) == ["initial", "list", "5"], "it lists and watches")


async def test_a_stream_that_is_cut_before_its_end_begins_again() -> None:
    cut = watching(event("ADDED", config_map("a", 1)), cut=True)
    whole = watching(event("ADDED", config_map("b", 2)), bookmark(5, initial=True), hold=True)
    async with followed(cut, whole, streaming=True) as (informer, _):
        await informer.synchronized()
        assert content(informer) == {"b": "2"}


def fail(_change: object) -> None:
    raise ValueError("a fault of the handler")


async def test_a_handler_that_fails_does_not_keep_others_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    gate = asyncio.Event()

    async def gated(request: web.BaseRequest) -> web.StreamResponse:
        await gate.wait()
        return await stream(request, event("ADDED", config_map("a", 6)), hold=True)

    async with followed(listing(5), gated) as (informer, _):
        informer.add_handler(fail)
        informer.add_handler(lambda change: heard.append(change.key.name))
        gate.set()
        await eventually(lambda: heard == ["a"], "the other hears")
    assert "a handler of /api/v1/namespaces/default/configmaps failed on default/a" in caplog.text


async def test_a_server_that_is_away_for_a_while_is_found_again() -> None:
    steps = (
        listing(5, "a"),
        refusing(503, "ServiceUnavailable"),
        refusing(500, "InternalError"),
        refusing(403, "Forbidden"),
    )
    async with followed(*steps, watching(event("ADDED", config_map("b", 6)), hold=True)) as (informer, server):
        await becomes(informer, {"a": "1", "b": "6"})
        assert versions(server) == ["list", "5", "5", "5", "5"]


async def test_a_list_whose_continue_tokens_expire_is_read_without_pages() -> None:
    async def first_page(_request: web.BaseRequest) -> web.StreamResponse:
        return answer(config_map_list(5, config_map("a", 1), **{"continue": "token"}))

    steps = (first_page, refusing(410, "Expired"), listing(9, "b"), SILENT)
    async with followed(*steps) as (informer, server):
        await informer.synchronized()
        assert content(informer) == {"b": "1"}
        assert informer.resource_version == "9"
        assert ["limit=" in request for request in server.requests[:3]] == [True, True, False]
