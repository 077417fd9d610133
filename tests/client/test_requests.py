"""Requests to servers that refuse, stall, break off or answer wrongly: what is sent again, and what the caller is told."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import logging
from typing import Any

import pytest
from aiohttp import web

from devtools.ports import closed_port, free_ports
from kcp.client import (
    Client,
    ClientConfiguration,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    ServiceUnavailableError,
    StatusError,
    TooManyRequestsError,
    TransportError,
    WatchOptions,
)
from kcp.client.errors import described
from kcp.client.transport.connections import Connection
from kcp.client.transport.requests import Request
from kcp.client.transport.streams import read_body
from tests.client.resources import CONFIG_MAPS
from tests.client.scripted_servers import Handler, answer, config_map, config_map_list, event, refusal, scripted, stream
from tests.support.waiting import eventually

HERE = config_map("a", 1)


def after(count: int, failure: Any, success: Any = HERE) -> Handler:
    """Fail a number of times, then succeed."""
    left = [count]

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if left[0]:
            left[0] -= 1
            result = failure(request)
            found: web.StreamResponse = await result if asyncio.iscoroutine(result) else result
            return found
        return answer(success)

    return handler


@pytest.mark.parametrize("verb", ["get", "create"])
@pytest.mark.parametrize(("code", "reason"), [(429, "TooManyRequests"), (503, "ServiceUnavailable")])
async def test_any_request_is_sent_again_after_the_time_that_the_server_asks_for(
    verb: str, code: int, reason: str
) -> None:
    async with (
        scripted(after(2, lambda _: refusal(code, reason, Retry_After="0"))) as server,
        server.client() as client,
    ):
        config_maps = client.resource(CONFIG_MAPS)
        await (config_maps.get("a") if verb == "get" else config_maps.create({"metadata": {"name": "a"}}))
        assert len(server.requests) == 3


async def test_a_server_that_asks_for_too_long_a_time_gets_no_other_request() -> None:
    handler = after(1, lambda _: refusal(429, "TooManyRequests", Retry_After="86400"))
    async with scripted(handler) as server, server.client() as client:
        with pytest.raises(TooManyRequestsError) as caught:
            await client.resource(CONFIG_MAPS).get("a")
        assert caught.value.retry_after == 86400
        assert len(server.requests) == 1


async def test_attempts_are_limited() -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return refusal(503, "ServiceUnavailable", Retry_After="0")

    async with scripted(handler) as server, server.client(retries=3) as client:
        with pytest.raises(ServiceUnavailableError):
            await client.resource(CONFIG_MAPS).get("a")
        assert len(server.requests) == 4


@pytest.mark.parametrize(
    "failure",
    [
        lambda _: web.Response(status=502, text="bad gateway"),
        lambda _: refusal(503, "ServiceUnavailable"),
        lambda _: refusal(504, "Timeout"),
        lambda _: refusal(500, "ServerTimeout"),
        lambda request: request.transport.abort(),
        lambda request: stream(request, b'{"kind":', cut=True),
    ],
    ids=["502", "503", "504", "server timeout", "no answer", "half an answer"],
)
async def test_after_other_failures_only_reads_are_sent_again(failure: Any) -> None:
    async def aborting(request: web.BaseRequest) -> web.StreamResponse:
        result = failure(request)
        return await result if asyncio.iscoroutine(result) else result or web.Response()

    async with scripted(after(1, aborting)) as server, server.client() as client:
        assert await client.resource(CONFIG_MAPS).get("a") == HERE
        assert len(server.requests) == 2
    async with scripted(after(1, aborting)) as server, server.client() as client:
        with pytest.raises((StatusError, TransportError)):
            await client.resource(CONFIG_MAPS).create({"metadata": {"name": "a"}})
        assert len(server.requests) == 1


async def test_a_conflict_and_an_internal_error_are_final() -> None:
    for code, reason, kind in ((409, "Conflict", ConflictError), (500, "InternalError", StatusError)):
        handler = after(1, lambda _, c=code, r=reason: refusal(c, r))
        async with scripted(handler) as server, server.client() as client:
            with pytest.raises(kind):
                await client.resource(CONFIG_MAPS).get("a")
            assert len(server.requests) == 1


async def test_a_server_that_is_not_there_yet_is_tried_again_by_writes_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "kcp.client")
    (port,) = free_ports(1)
    async with Client(ClientConfiguration(server=f"http://127.0.0.1:{port}")) as client:
        creating = asyncio.create_task(client.resource(CONFIG_MAPS).create({"metadata": {"name": "a"}}))
        await eventually(lambda: "cannot connect" in caplog.text, "the first attempt has failed")
        async with scripted(after(0, None), port) as server:
            assert await creating == HERE
            assert len(server.requests) == 1


async def test_an_error_tells_that_no_server_has_got_the_request() -> None:
    with closed_port() as port:
        async with Client(ClientConfiguration(server=f"http://127.0.0.1:{port}", retries=0)) as client:
            with pytest.raises(TransportError, match=r"POST .*/configmaps: cannot connect to 127\.0\.0\.1:") as caught:
                await client.resource(CONFIG_MAPS).create({"metadata": {"name": "a"}})
    assert not caught.value.sent


async def test_a_server_that_does_not_answer_in_time() -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with scripted(handler) as server, server.client(request_timeout=0.2, retries=1) as client:
        with pytest.raises(TransportError, match=r"GET /version: .* did not answer in time"):
            await client.version()
        assert len(server.requests) <= 2


async def test_a_body_that_drips_is_given_up_after_the_time_of_a_request() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return await stream(request, b'{"major": ', hold=True)

    async with scripted(handler) as server, server.client(request_timeout=0.2, retries=0) as client:
        with pytest.raises(TransportError, match="in time"):
            await client.version()


async def test_redirects_are_not_followed() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    async with scripted(handler) as server, server.client() as client:
        with pytest.raises(TransportError, match="GET /version: the server answered 307, a redirect"):
            await client.version()
        assert server.requests == ["GET /version"]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b'{"kind"'])
async def test_what_is_no_json_object_is_no_answer_of_an_api_server(body: bytes) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, content_type="text/html")

    async with scripted(handler) as server, server.client() as client:
        with pytest.raises(TransportError, match=r"no JSON object \(text/html\): is this an API server"):
            await client.version()


async def test_a_refusal_without_a_status_has_the_text_of_the_answer() -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=404, text="404 page not found\n")

    async with scripted(handler) as server, server.client() as client:
        with pytest.raises(NotFoundError) as caught:
            await client.version()
    assert (caught.value.code, caught.value.reason, str(caught.value)) == (404, "NotFound", "404 page not found")


@pytest.mark.parametrize("status", [{"code": "x", "message": 7, "reason": []}, {"details": 1}, {"code": -5}])
async def test_a_status_of_wrong_types_is_still_an_error(status: dict[str, Any]) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return answer({"kind": "Status", **status}, 409)

    async with scripted(handler) as server, server.client() as client:
        with pytest.raises(ConflictError):
            await client.version()


async def test_a_compressed_answer_is_read_up_to_the_limit_of_its_content() -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            body=gzip.compress(b'{"x":"' + b" " * 1_000_000 + b'"}'), headers={"Content-Encoding": "gzip"}
        )

    async with scripted(handler) as server:
        connection = Connection(server.configuration(), server.url)
        connection.open()
        try:
            request = Request("GET", "/")
            assert len((await connection.request(request)).body) == 1_000_008
            assert connection._session is not None
            async with connection._session.get(server.url) as raw:
                with pytest.raises(TransportError, match="larger than 500000 bytes"):
                    await read_body(raw, limit=500_000)
        finally:
            await connection.close()


async def test_connections_are_kept_for_further_requests() -> None:
    ports = set()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername"))
        return answer({})

    async with scripted(handler) as server, server.client() as client:
        for _ in range(5):
            await client.version()
    assert len(ports) == 1


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    running, most = 0, 0

    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await full.wait()
        await asyncio.sleep(0.01)  # for a fourth one to come, if it is sent
        running -= 1
        return answer({})

    full = asyncio.Event()
    async with scripted(handler) as server, server.client(max_in_flight=3) as client:
        await asyncio.gather(*(client.version() for _ in range(20)))
    assert most == 3


async def test_a_warning_of_the_server_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return answer({}, Warning='299 - "spec.\\"x\\" is deprecated", 299 - "another"')

    caplog.set_level(logging.WARNING)
    async with scripted(handler) as server, server.client() as client:
        await client.version()
        await client.version()
    assert [record.getMessage() for record in caplog.records] == [
        'the API server warns: spec."x" is deprecated',
        "the API server warns: another",
    ]


async def test_a_list_whose_pages_expire_is_read_in_one_answer() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if "continue" in request.query:
            return refusal(410, "Expired")
        if "limit" in request.query:
            return answer(config_map_list(5, config_map("a", 1), **{"continue": "token"}))
        return answer(config_map_list(9, config_map("a", 1), config_map("b", 7)))

    async with scripted(handler) as server, server.client() as client:
        found = await client.resource(CONFIG_MAPS).list_all(label_selector="x=y")
        assert (found.resource_version, len(found.items)) == ("9", 2)
        assert server.requests[-1] == "GET /api/v1/namespaces/default/configmaps?labelSelector=x%3Dy"
        with pytest.raises(ExpiredError):
            async for _ in client.resource(CONFIG_MAPS).pages():
                pass


async def test_a_first_page_that_is_expired_is_an_error() -> None:
    async with scripted(after(9, lambda _: refusal(410, "Expired"))) as server, server.client() as client:
        with pytest.raises(ExpiredError):
            await client.resource(CONFIG_MAPS).list_all(resource_version="1", match="Exact")
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [{}, {"items": 7, "metadata": {}}, {"items": ["x"], "metadata": {}}, {"items": []}])
async def test_what_is_no_list_is_no_answer(body: dict[str, Any]) -> None:
    async with scripted(after(0, None, body)) as server, server.client() as client:
        with pytest.raises(TransportError, match="the answer is no list"):
            await client.resource(CONFIG_MAPS).list()


@pytest.mark.parametrize("method", ["replace", "delete"])
async def test_a_write_is_not_sent_again_when_the_connection_that_it_reuses_breaks_off(method: str) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET":
            return answer(HERE)
        assert request.transport is not None
        request.transport.abort()
        return answer(HERE)

    async with scripted(handler) as server, server.client() as client:
        config_maps = client.resource(CONFIG_MAPS)
        await config_maps.get("a")
        with pytest.raises(TransportError, match="broke off") as caught:
            await (config_maps.replace(HERE) if method == "replace" else config_maps.delete("a"))
    assert caught.value.sent
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "table", [{"columnDefinitions": [{}]}, {"columnDefinitions": 7}, {"rows": [{}]}, {"rows": [7]}]
)
async def test_a_malformed_table_is_a_transport_error(table: dict[str, Any]) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return answer({"kind": "Table", **table})

    async with scripted(handler) as server, server.client() as client:
        with pytest.raises(TransportError, match="the server has sent a malformed Table"):
            await client.resource(CONFIG_MAPS).table()


async def test_what_a_server_repeats_of_a_credential_is_removed() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return refusal(403, "Forbidden", f"no: {request.headers['Authorization']}")

    async with scripted(handler) as server:
        configuration = ClientConfiguration.with_token(server.url, "hidden-token")
        async with Client(dataclasses.replace(configuration, qps=0.0)) as client:
            with pytest.raises(ForbiddenError) as error:
                await client.version()
    assert str(error.value) == "no: Bearer <removed>"


@pytest.mark.parametrize("size", [100, 10_000_000])
async def test_a_refusal_is_described_with_the_words_of_a_status_only(size: int) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/version":
            return web.Response(text="internal page " * (size // 14), status=404)
        return refusal(403, "Forbidden", "quota " * (size // 6))

    async with scripted(handler) as server, server.client(retries=0) as client:
        messages = []
        for path in ("/version", "/api"):
            with pytest.raises((StatusError, TransportError)) as error:
                await client.raw("GET", path)
            messages.append(described(error.value))
    if size == 100:
        assert messages == ["the server answered 404 NotFound", "quota " * 16]
    else:
        assert ["is larger than 4194304 bytes" in message for message in messages] == [True, True]


async def test_answers_and_lists_are_read_up_to_the_limits_of_the_client() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if "watch" in request.rel_url.query:
            return await stream(request, event("ADDED", config_map("a", 2, data="x" * 2_000_000)))
        listed = config_map_list(1, config_map("a", 1, data="x" * 10_000))
        return answer({**listed, "metadata": {"resourceVersion": "1", "continue": "more"}})  # for ever

    async with scripted(handler) as server:
        async with server.client(retries=0, max_listed=100_000) as client:
            with pytest.raises(TransportError, match="the list is larger than 100000 bytes"):
                await client.resource(CONFIG_MAPS).list_all()
            assert len(server.requests) == 10
        async with server.client(retries=0, max_body=20_000) as client:
            assert (await client.resource(CONFIG_MAPS).list()).items
            with pytest.raises(TransportError, match="an event is larger than 20000 bytes"):
                async for _ in client.resource(CONFIG_MAPS).watch(WatchOptions()):
                    pass
        async with server.client(retries=0, max_body=5_000) as client:
            with pytest.raises(TransportError, match="the answer is larger than 5000 bytes"):
                await client.resource(CONFIG_MAPS).list()
