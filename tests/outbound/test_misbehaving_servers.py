"""Requests of the server to servers that misbehave: redirects, endless and oversized bodies, silence, wrong certificates."""

from __future__ import annotations

import asyncio
import gzip
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kcp.outbound.clients import OutboundClient
from kcp.outbound.destinations import Destination, from_kubeconfig
from kcp.outbound.errors import DestinationError, OutboundError
from kcp.outbound.owner import Outbound
from kcp.outbound.webhooks import ONCE, Backoff, WebhookClient
from tests.support.https_server import Handler, HTTPSServer, json_answer
from tests.support.waiting import PATIENCE, eventually

FAST = Backoff(attempts=3, first=0.001)
SECRET = "hunter2-in-everything"


def client_of(server: HTTPSServer, outbound: Outbound, **choices: object) -> OutboundClient:
    return outbound.client(from_kubeconfig(server.kubeconfig("webhook.kubeconfig", **choices), "--webhook"))  # type: ignore[arg-type]


async def refusal(client: OutboundClient, timeout: float = PATIENCE) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await WebhookClient(client, ONCE).post_json({"secret": SECRET}, timeout)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


async def test_json_is_posted_and_answered(tmp_path: Path, outbound: Outbound) -> None:
    async def echo(request: web.BaseRequest) -> web.Response:
        return json_answer({"echo": await request.json()})

    with HTTPSServer(tmp_path, echo) as server:
        path = server.kubeconfig("webhook.kubeconfig", "/review", {"token": SECRET})
        webhook = WebhookClient.from_kubeconfig(outbound, path, "--webhook")
        assert await webhook.post_json({"a": 1}, PATIENCE) == {"echo": {"a": 1}}
    assert server.requests == [("POST", "/review")]
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    assert server.headers[0]["content-type"] == "application/json"


async def test_a_client_certificate_of_the_kubeconfig_is_presented(tmp_path: Path, outbound: Outbound) -> None:
    from kcp.auth.certificates import new_client_identity

    async def fine(_: web.BaseRequest) -> web.Response:
        return json_answer({})

    with HTTPSServer(tmp_path, fine) as server:
        pair = new_client_identity(server.authority, "apiserver", ())
        (tmp_path / "client.crt").write_bytes(pair.certificate)
        (tmp_path / "client.key").write_bytes(pair.key)
        user = {"client-certificate": "client.crt", "client-key": "client.key"}
        await WebhookClient(client_of(server, outbound, user=user)).post_json({}, PATIENCE)
    assert server.client_certificates == ["apiserver"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_class_5_6_7_no_redirect_is_followed(tmp_path: Path, outbound: Outbound, status: int) -> None:
    async def redirect(request: web.BaseRequest) -> web.Response:
        location = f"https://localhost:{request.url.port}/elsewhere?{SECRET}"
        return web.Response(status=status, headers={"Location": location})

    with HTTPSServer(tmp_path, redirect) as server:
        error = await refusal(client_of(server, outbound, user={"token": SECRET}))
    assert error.status == status
    assert not error.retryable
    assert "redirects are not followed" in str(error)
    assert server.requests == [("POST", "/")]


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    piece = b" " * 65536
    while True:
        await response.write(piece)


async def gzip_bomb(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=gzip.compress(bytes(512 * 1024 * 1024), 1), headers={"Content-Encoding": "gzip"})


async def concatenated(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b"{}") * 2, headers={"Content-Encoding": "gzip"})


async def truncated(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=gzip.compress(b"{}")[:-3], headers={"Content-Encoding": "gzip"})


async def brotli(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=b"{}", headers={"Content-Encoding": "br"})


async def no_json(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=SECRET.encode(), content_type="text/html")


async def deep(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response(body=b'{"a":' * 100_000, content_type="application/json")


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (endless, "more than 4194304 bytes"),
        (gzip_bomb, "more than 4194304 bytes"),
        (concatenated, "data after a compressed body"),
        (truncated, "cannot be decompressed"),
        (brotli, "content encoding"),
        (no_json, "no JSON object"),
        (deep, "no JSON object"),
    ],
)
async def test_class_18_an_answer_that_is_too_large_or_broken_is_refused(
    tmp_path: Path, outbound: Outbound, handler: Handler, words: str
) -> None:
    with HTTPSServer(tmp_path, handler) as server:
        error = await refusal(client_of(server, outbound))
    assert words in str(error)


async def test_a_compressed_answer_is_decompressed(tmp_path: Path, outbound: Outbound) -> None:
    async def compressed(_: web.BaseRequest) -> web.Response:
        return web.Response(
            body=gzip.compress(b'{"a": "' + b"x" * 2_000_000 + b'"}'), headers={"Content-Encoding": "gzip"}
        )

    with HTTPSServer(tmp_path, compressed) as server:
        assert await WebhookClient(client_of(server, outbound)).post_json({}, PATIENCE) == {"a": "x" * 2_000_000}


async def silent(_: web.BaseRequest) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def trickling(request: web.BaseRequest) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("handler", [silent, trickling])
async def test_a_request_ends_after_its_time_limit(tmp_path: Path, outbound: Outbound, handler: Handler) -> None:
    with HTTPSServer(tmp_path, handler) as server:
        error = await refusal(client_of(server, outbound), timeout=0.3)
    assert "did not answer within 0.3 s" in str(error)
    assert not error.retryable


async def test_a_refused_connection_is_named_without_numbers_and_addresses(tmp_path: Path, outbound: Outbound) -> None:
    async def nothing(_: web.BaseRequest) -> web.Response:
        return json_answer({})

    with HTTPSServer(tmp_path, nothing) as server:
        client = client_of(server, outbound)
    error = await refusal(client)
    assert str(error).endswith("cannot be connected to: Connection refused")


async def test_a_certificate_of_another_authority_is_refused(tmp_path: Path, outbound: Outbound) -> None:
    with HTTPSServer(tmp_path / "a", silent) as server, HTTPSServer(tmp_path / "b", silent) as other:
        trust: dict[str, Any] = {"certificate-authority": str(other.ca_file)}
        path = server.kubeconfig("mixed.kubeconfig", **trust)
        error = await refusal(outbound.client(from_kubeconfig(path, "--webhook")))
        assert "not trusted" in str(error)
        assert server.requests == []


async def test_a_certificate_of_another_host_is_refused(tmp_path: Path, outbound: Outbound) -> None:
    with HTTPSServer(tmp_path, silent, names=("elsewhere.example",)) as server:
        error = await refusal(client_of(server, outbound))
        assert "not trusted" in str(error)
        assert server.requests == []


async def test_a_failing_server_is_asked_again_with_a_backoff(tmp_path: Path, outbound: Outbound) -> None:
    statuses = [500, 429]

    async def recovering(_: web.BaseRequest) -> web.Response:
        return json_answer({SECRET: True}, statuses.pop(0) if statuses else 200)

    with HTTPSServer(tmp_path, recovering) as server:
        await WebhookClient(client_of(server, outbound), FAST).post_json({}, PATIENCE)
        assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "requests"), [(503, 3), (400, 1), (401, 1), (403, 1), (404, 1)])
async def test_only_what_may_pass_is_tried_again(
    tmp_path: Path, outbound: Outbound, status: int, requests: int
) -> None:
    async def failing(_: web.BaseRequest) -> web.Response:
        return json_answer({SECRET: True}, status)

    with HTTPSServer(tmp_path, failing) as server:
        with pytest.raises(OutboundError, match=f"answered with status {status}") as caught:
            await WebhookClient(client_of(server, outbound, user={"token": SECRET}), FAST).post_json({}, PATIENCE)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert len(server.requests) == requests


async def test_a_connection_that_breaks_is_made_again(tmp_path: Path, outbound: Outbound) -> None:
    broken = 2

    async def breaking(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal broken
        if broken:
            broken -= 1
            assert request.transport is not None
            request.transport.abort()
        return json_answer({})

    with HTTPSServer(tmp_path, breaking) as server:
        await WebhookClient(client_of(server, outbound), FAST).post_json({}, PATIENCE)
        assert len(server.requests) == 3


async def test_a_token_file_that_has_changed_is_read_after_a_401(tmp_path: Path, outbound: Outbound) -> None:
    async def only_new(request: web.BaseRequest) -> web.Response:
        return json_answer({}, 200 if request.headers["Authorization"] == "Bearer new" else 401)

    token = tmp_path / "token"
    token.write_text("old")
    with HTTPSServer(tmp_path, only_new) as server:
        webhook = WebhookClient(client_of(server, outbound, user={"tokenFile": "token"}), ONCE)
        with pytest.raises(OutboundError, match="401"):
            await webhook.post_json({}, PATIENCE)
        token.write_text("new")
        assert await webhook.post_json({}, PATIENCE) == {}


async def test_a_changed_file_of_authorities_is_read_after_a_certificate_that_is_not_trusted(
    tmp_path: Path, outbound: Outbound
) -> None:
    from kcp.auth.certificates import new_authority

    async def fine(_: web.BaseRequest) -> web.Response:
        return json_answer({})

    with HTTPSServer(tmp_path, fine) as server:
        right = server.ca_file.read_bytes()
        server.ca_file.write_bytes(new_authority("another").certificate)
        client = client_of(server, outbound)
        assert "not trusted" in str(await refusal(client))
        server.ca_file.write_bytes(b"")  # it is being replaced
        assert "not trusted" in str(await refusal(client))
        server.ca_file.unlink()
        assert "not trusted" in str(await refusal(client))
        server.ca_file.write_bytes(right)
        assert await WebhookClient(client, ONCE).post_json({}, PATIENCE) == {}


async def test_changed_files_of_authorities_and_certificates_are_in_force_for_the_next_connections(
    tmp_path: Path, outbound: Outbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kcp.auth.certificates import new_authority, new_client_identity
    from kcp.client.credentials import files
    from kcp.outbound import authorities

    monkeypatch.setattr(authorities, "_REREAD", 0.0)
    monkeypatch.setattr(files, "_REREAD", 0.0)

    async def fine(_: web.BaseRequest) -> web.Response:
        return json_answer({})

    def write_pair(name: str) -> None:
        pair = new_client_identity(server.authority, name, ())
        (tmp_path / "client.crt").write_bytes(pair.certificate)
        (tmp_path / "client.key").write_bytes(pair.key)

    with HTTPSServer(tmp_path, fine) as server:
        user = {"client-certificate": "client.crt", "client-key": "client.key"}
        write_pair("first")
        client = client_of(server, outbound, user=user)
        for name in ("first", "second"):
            write_pair(name)
            await WebhookClient(client, ONCE).post_json({}, PATIENCE)
        assert server.client_certificates == ["first", "second"]
        server.ca_file.write_bytes(new_authority("another").certificate)
        assert "not trusted" in str(await refusal(client))


async def test_connections_are_reused_and_their_number_is_bounded(tmp_path: Path, outbound: Outbound) -> None:
    async def fine(_: web.BaseRequest) -> web.Response:
        await asyncio.sleep(0)
        return json_answer({})

    with HTTPSServer(tmp_path, fine) as server:
        destination = Destination(
            described="test",
            url=server.url(),
            certificate_authority=server.authority.certificate,
            max_connections=3,
        )
        client = outbound.client(destination)
        await asyncio.gather(*(client.request("GET", timeout=PATIENCE) for _ in range(40)))
        assert len(server.requests) == 40
        assert len(server.connections) <= 3


async def test_class_22_destinations_share_no_connection_and_no_credential(tmp_path: Path, outbound: Outbound) -> None:
    async def cookie(_: web.BaseRequest) -> web.Response:
        return json_answer({}, Set_Cookie=f"session={SECRET}")

    with HTTPSServer(tmp_path, cookie) as server:
        first = client_of(server, outbound, user={"token": "first"})
        second = client_of(server, outbound, user={"username": "u", "password": "p"})
        third = client_of(server, outbound)
        for client in (first, second, third, first):
            await client.request("GET", timeout=PATIENCE)
        assert [headers.get("authorization") for headers in server.headers] == [
            "Bearer first",
            "Basic dTpw",
            None,
            "Bearer first",
        ]
        assert len(server.connections) == 3
        assert not any("cookie" in headers for headers in server.headers)


async def test_nothing_is_logged(tmp_path: Path, outbound: Outbound, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), HTTPSServer(tmp_path, no_json) as server:
        await refusal(client_of(server, outbound, user={"token": SECRET}))
    ours = [record for record in caplog.records if not record.name.startswith("aiohttp.access")]
    assert SECRET not in "".join(record.getMessage() for record in ours)


async def test_a_retired_client_finishes_its_requests(tmp_path: Path, outbound: Outbound) -> None:
    arrived, go = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def waiting(_: web.BaseRequest) -> web.Response:
        loop.call_soon_threadsafe(arrived.set)
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go.wait(), loop))
        return json_answer({"fine": True})

    with HTTPSServer(tmp_path, waiting) as server:
        client = client_of(server, outbound)
        running = asyncio.create_task(client.request("GET", timeout=PATIENCE))
        await arrived.wait()
        outbound.retire(client)
        go.set()
        assert (await running).status == 200
        await eventually(client._closing.is_set, "the client is closed when its last request has ended")
        with pytest.raises(OutboundError, match="no longer configured"):
            await client.request("GET", timeout=PATIENCE)


async def test_a_retired_client_is_closed_with_the_others(tmp_path: Path, outbound: Outbound) -> None:
    async def never(_: web.BaseRequest) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    with HTTPSServer(tmp_path, never) as server:
        client = client_of(server, outbound)
        running = asyncio.create_task(client.request("GET", timeout=PATIENCE))
        await eventually(lambda: server.requests, "the server is asked")
        outbound.retire(client)
        await outbound.close()
        assert running.done()
        assert type(running.exception()) is OutboundError


@pytest.mark.parametrize("url", ["ftp://example.com", "https://", "localhost:1", ""])
def test_only_an_http_url_is_a_destination(outbound: Outbound, url: str) -> None:
    with pytest.raises(DestinationError, match="--flag"):
        outbound.client(Destination(described="--flag", url=url))


def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(DestinationError, match=f"--webhook: {path}"):
        from_kubeconfig(path, "--webhook")


def test_delays_grow_and_keep_to_what_the_server_asks_for() -> None:
    backoff = Backoff(jitter=0)
    failed = OutboundError("x", retryable=True)
    assert [backoff.delay(number, failed) for number in (1, 2, 3)] == [0.5, 0.75, 1.125]
    assert backoff.delay(1, OutboundError("x", retryable=True, retry_after=3)) == 3
    assert backoff.delay(1, OutboundError("x", retryable=True, retry_after=10**9)) == 10


async def test_closing_ends_what_waits_for_an_answer_or_for_another_attempt(tmp_path: Path) -> None:
    async def failing(_: web.BaseRequest) -> web.Response:
        return json_answer({}, 500)

    outbound = Outbound()
    with HTTPSServer(tmp_path / "a", silent) as first, HTTPSServer(tmp_path / "b", failing) as second:
        hooks = [WebhookClient(client_of(server, outbound), Backoff(first=PATIENCE)) for server in (first, second)]
        waiting = [asyncio.create_task(hook.post_json({}, PATIENCE)) for hook in hooks]
        await eventually(lambda: first.requests and second.requests, "both webhooks are asked")
        await outbound.close()
        assert all(task.done() for task in waiting)
        assert {type(task.exception()) for task in waiting} == {OutboundError}
