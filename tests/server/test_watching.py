"""Watches over HTTP/1.1, HTTP/2 and WebSocket."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kcp.api.errors import StatusError
from kcp.server.observability.request_records import RequestRecord
from kcp.server.process.parts import Parts
from kcp.server.requests import connections, watches
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.request_info import RequestInfo
from kcp.server.requests.watch_sessions import WatchSession
from tests.support.http2_frames import DATA, Http2Connection
from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.running_server import RunningServer
from tests.support.waiting import PATIENCE, wait_until
from tests.support.web_socket_client import WebSocket

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def version_of(server: RunningServer, cluster: str) -> str:
    version: str = server.get(cluster + CONFIG_MAPS).json["metadata"]["resourceVersion"]
    return version


def sessions(server: RunningServer, cluster: str, transport: str = "") -> list[WatchSession]:
    """The running watches of a logical cluster."""
    composition = server.process.composition
    assert composition is not None
    return [
        session
        for session in tuple(composition.watches.sessions)
        if session.transport.startswith(transport) and session.exchange.scope["path"].startswith(f"{cluster}/")
    ]


def test_a_watch_sends_changes_as_they_happen(server: RunningServer, cluster: str) -> None:
    start = version_of(server, cluster)
    with server.watch(f"{cluster}{CONFIG_MAPS}?watch=true&resourceVersion={start}") as events:
        server.post(cluster + CONFIG_MAPS, config_map("a"))
        added = next(events)
        server.ask("PUT", f"{cluster}{CONFIG_MAPS}/a", {**added["object"], "data": {"x": "y"}})
        modified = next(events)
        server.ask("DELETE", f"{cluster}{CONFIG_MAPS}/a")
        deleted = next(events)
    assert [event["type"] for event in (added, modified, deleted)] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in (added, modified, deleted)]
    assert versions == sorted(set(versions))


def test_a_watch_of_one_name_and_the_older_path(server: RunningServer, cluster: str) -> None:
    for path in (
        f"{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Db",
        "/api/v1/watch/namespaces/default/configmaps/b",
    ):
        server.post(cluster + CONFIG_MAPS, config_map("a"))
        server.post(cluster + CONFIG_MAPS, config_map("b"))
        with server.watch(cluster + path) as events:
            assert next(events)["object"]["metadata"]["name"] == "b"


def test_events_of_a_watch_across_logical_clusters_name_the_logical_cluster(
    server: RunningServer, cluster: str
) -> None:
    start = version_of(server, cluster)
    with server.watch(f"/clusters/*/api/v1/configmaps?watch=true&resourceVersion={start}") as events:
        server.post(cluster + CONFIG_MAPS, config_map("a"))
        annotations = next(events)["object"]["metadata"]["annotations"]
    assert annotations["kcp.io/cluster"] == cluster.removeprefix("/clusters/")


def test_initial_events_end_with_a_bookmark(server: RunningServer, cluster: str) -> None:
    server.post(cluster + CONFIG_MAPS, config_map("a"))
    query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with server.watch(f"{cluster}{CONFIG_MAPS}?{query}") as events:
        assert next(events)["type"] == "ADDED"
        bookmark = next(events)
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["kind"] == "ConfigMap"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) > 0


def test_timeout_seconds_ends_the_stream_normally(server: RunningServer, cluster: str) -> None:
    start = version_of(server, cluster)
    began = time.monotonic()
    with server.watch(f"{cluster}{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion={start}") as events:
        assert list(events) == []
    assert time.monotonic() - began > 0.9


def test_without_timeout_seconds_the_server_ends_the_stream(fresh_root: Path) -> None:
    server = RunningServer(fresh_root, min_request_timeout=0.3)
    try:
        with server.watch(f"{CONFIG_MAPS}?watch=true&resourceVersion={version_of(server, '')}") as events:
            assert list(events) == []
    finally:
        server.stop()


def test_bookmarks_are_sent_regularly_when_allowed(
    server: RunningServer, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "BOOKMARK_INTERVAL", 0.05)
    start = version_of(server, cluster)
    with server.watch(f"{cluster}{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true&resourceVersion={start}") as events:
        for _ in range(2):
            bookmark = next(events)
            assert bookmark["type"] == "BOOKMARK"
            assert int(bookmark["object"]["metadata"]["resourceVersion"]) >= int(start)


def test_a_compacted_revision_is_an_error_event_in_the_stream(fresh_root: Path) -> None:
    server = RunningServer(fresh_root)
    try:
        old = server.post(CONFIG_MAPS, config_map("a")).json["metadata"]["resourceVersion"]
        for number in range(3):
            server.post(CONFIG_MAPS, config_map(f"b-{number}"))
        composition = server.process.composition
        assert composition is not None
        registry = composition.registry
        server.submit(registry.store.compact(registry.store.revision)).result(PATIENCE)
        with server.watch(f"{CONFIG_MAPS}?watch=true&resourceVersion={old}") as events:
            told = list(events)
    finally:
        server.stop()
    assert [event["type"] for event in told] == ["ERROR"]
    assert (told[0]["object"]["code"], told[0]["object"]["reason"]) == (410, "Expired")


def test_a_watch_as_a_table(server: RunningServer, cluster: str) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    with server.watch(f"{cluster}/api/v1/namespaces?watch=true", Accept=accept) as events:
        table = next(events)["object"]
    assert (table["kind"], table["rows"][0]["cells"][0]) == ("Table", "default")


@pytest.mark.parametrize(
    "query",
    ["watch=true&resourceVersionMatch=Exact", "watch=true&labelSelector=a%20in%20(", "watch=true&timeoutSeconds=soon"],
)
def test_invalid_watch_options_are_refused_before_the_stream_begins(server: RunningServer, query: str) -> None:
    answer = server.get(f"{CONFIG_MAPS}?{query}")
    assert answer.status in (400, 422)
    assert answer.json["kind"] == "Status"


def test_running_watches_are_counted(server: RunningServer, cluster: str) -> None:
    composition = server.process.composition
    assert composition is not None
    running = composition.metrics.registry
    label = {"transport": "HTTP/1.1"}

    def counted() -> float:
        return running.get_sample_value("apiserver_longrunning_requests", label) or 0

    sweeping = server.submit(connections.sweep(composition.watches, 0.02))  # finds the clients that have left
    try:
        wait_until(lambda: not composition.watches.sessions, "no watch of another test is left")
        before = counted()
        with server.watch(f"{cluster}/api/v1/namespaces?watch=true") as events:
            assert len([next(events) for _ in range(3)]) == 3
            assert counted() == before + 1
        wait_until(lambda: counted() == before, "the watch is not counted any more")
    finally:
        sweeping.cancel()
    names = {"group": "", "version": "v1", "resource": "namespaces"}
    assert (running.get_sample_value("apiserver_watch_events_total", names) or 0) >= 3


def test_a_disconnected_watcher_over_http_1_is_detected_by_its_connection(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}{CONFIG_MAPS}?watch=true&resourceVersion={version_of(server, cluster)}"

    def waiting() -> list[WatchSession]:
        return [session for session in sessions(server, cluster, "HTTP/1.1") if session.waiting]

    with server.watch(path):
        with server.watch(path):
            wait_until(lambda: len(waiting()) == 2, "both connections wait")
            both = waiting()
            assert connections.gone(both, connections.established()) == []
        wait_until(lambda: len(connections.gone(both, connections.established())) == 1, "one has gone")
    composition = server.process.composition
    assert composition is not None
    sweeping = server.submit(connections.sweep(composition.watches, 0.02))
    try:
        wait_until(lambda: not sessions(server, cluster), "the watch has ended")
    finally:
        sweeping.cancel()


@pytest.mark.skipif(sys.byteorder != "little", reason="the tables have the machine's byte order")
@pytest.mark.parametrize(
    ("host", "row"),
    [
        ("127.0.0.1", b"0100007F:C350"),
        ("127.0.0.1", b"0000000000000000FFFF00000100007F:C350"),
        ("::ffff:127.0.0.1", b"0000000000000000FFFF00000100007F:C350"),
        ("::ffff:127.0.0.1", b"0100007F:C350"),
        ("::1", b"00000000000000000000000001000000:C350"),
        ("fe80::1:2%eth0", b"000080FE000000000000000002000100:C350"),
    ],
)
def test_a_connection_is_known_by_its_address_and_the_port_of_the_server(host: str, row: bytes) -> None:
    scope = {"server": ("127.0.0.1", 6443), "client": (host, 50000)}
    session = cast("WatchSession", SimpleNamespace(exchange=SimpleNamespace(scope=scope)))
    assert connections.gone([session], {(b"192B", row)}) == []
    assert connections.gone([session], {(b"1F90", row)}) == [session]
    assert connections.gone([session], {(b"192B", row.replace(b"C350", b"C351"))}) == [session]


@pytest.mark.parametrize("client", [None, ("", 0), ("a socket", 50000)])
def test_a_connection_without_an_address_is_not_taken_for_gone(client: object) -> None:
    scope = {"server": ("127.0.0.1", 6443), "client": client}
    session = cast("WatchSession", SimpleNamespace(exchange=SimpleNamespace(scope=scope)))
    assert connections.gone([session], set()) == []


def test_the_watch_of_a_client_that_does_not_read_is_aborted(
    server: RunningServer, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.watch(f"{cluster}/api/v1/namespaces?watch=true") as events:
        next(events)
        (session,) = sessions(server, cluster)
        session.exchange.sending_since = time.monotonic() - watches.WATCH_STALLED_AFTER - 1
        composition = server.process.composition
        assert composition is not None
        server.call(composition.watches.end_stalled)
        wait_until(lambda: session not in sessions(server, cluster), "the watch has ended")


def test_a_client_that_pauses_gets_all_events_when_it_resumes_reading(
    server: RunningServer, cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "WATCH_STALLED_AFTER", PATIENCE)
    start = version_of(server, cluster)
    path = f"{cluster}{CONFIG_MAPS}"
    versions = []
    with server.watch(f"{path}?watch=true&resourceVersion={start}&timeoutSeconds=600") as events:
        versions.append(server.post(path, config_map("a")).json["metadata"]["resourceVersion"])
        (session,) = sessions(server, cluster)

        def has_to_wait() -> bool:
            if session.exchange.sending_since:
                return True
            changed = server.ask("PUT", f"{path}/a", config_map("a", data=f"{len(versions)}" + "x" * 900_000)).json
            versions.append(changed["metadata"]["resourceVersion"])
            return False

        # each is sent without a turn of the watch's task until one finds no room
        wait_until(has_to_wait, "the server waits for the client")
        for _ in range(5):
            changed = server.ask("PUT", f"{path}/a", config_map("a", data=f"{len(versions)}")).json
            versions.append(changed["metadata"]["resourceVersion"])
        assert session.exchange.sending_since
        assert [next(events)["object"]["metadata"]["resourceVersion"] for _ in versions] == versions
        wait_until(lambda: not session.exchange.sending_since, "the client has read")
        versions = [server.ask("PUT", f"{path}/a", config_map("a")).json["metadata"]["resourceVersion"]]
        assert [next(events)["object"]["metadata"]["resourceVersion"]] == versions


def test_a_disconnected_watcher_over_http_2_is_detected_at_once(server: RunningServer, cluster: str) -> None:
    authority = server.process.configuration.data_directory / "ca.crt"
    path = f"{cluster}/api/v1/namespaces?watch=true"
    with Http2Connection("127.0.0.1", server.port, authority) as connection:
        stream = connection.request("GET", path, [("authorization", f"Bearer {server.token}")])
        while (found := connection.read()).kind != DATA or found.stream != stream:
            pass
        assert b'"ADDED"' in found.payload
        assert sessions(server, cluster, "HTTP/2")
    wait_until(lambda: not sessions(server, cluster), "the watch has ended")


# WebSocket


def headers(server: RunningServer, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}", **more}


def test_over_web_socket_each_event_is_a_text_message(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}{CONFIG_MAPS}?watch=true&resourceVersion={version_of(server, cluster)}"
    with WebSocket(server, path, **headers(server)) as socket:
        assert socket.status == 101
        assert "sec-websocket-protocol" not in socket.headers
        for name in ("a", "b"):
            server.post(cluster + CONFIG_MAPS, config_map(name))
        events = [json.loads(socket.text()) for _ in range(2)]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "a"),
        ("ADDED", "b"),
    ]


def test_what_a_web_socket_client_sends_is_limited_and_ignored_and_what_it_gets_is_not(
    server: RunningServer, cluster: str
) -> None:
    path = f"{cluster}{CONFIG_MAPS}?watch=true&resourceVersion={version_of(server, cluster)}"
    with WebSocket(server, path, **headers(server, Sec_WebSocket_Extensions="permessage-deflate")) as socket:
        assert "sec-websocket-extensions" not in socket.headers, "no message is larger than it looks"
        for size in (0, 100, 65536):
            socket.send(b"x" * size)
        server.post(cluster + CONFIG_MAPS, config_map("large", text="x" * (1 << 20)))
        assert len(socket.text()) > 1 << 20
        socket.send(b"", announced=65537)
        opcode, content = socket.frame()
        assert (opcode, content[:2]) == (8, (1009).to_bytes(2)), "message too big (RFC 6455, 7.4.1)"


@pytest.mark.parametrize("protocol", ["base64.binary.k8s.io", "v4.channel.k8s.io", "anything"])
def test_the_requested_subprotocol_is_selected(server: RunningServer, cluster: str, protocol: str) -> None:
    path = f"{cluster}/api/v1/namespaces?watch=true"
    with WebSocket(server, path, **headers(server, Sec_WebSocket_Protocol=protocol)) as socket:
        assert (socket.status, socket.headers["sec-websocket-protocol"]) == (101, protocol)
        assert json.loads(socket.text())["type"] == "ADDED"


def test_a_token_may_come_as_a_subprotocol(server: RunningServer, cluster: str) -> None:
    token = base64.urlsafe_b64encode(server.token.encode()).decode().rstrip("=")
    bearer = f"base64url.bearer.authorization.k8s.io.{token}"
    path = f"{cluster}/api/v1/namespaces?watch=true"
    with WebSocket(server, path, Sec_WebSocket_Protocol=f"{bearer}, v4.channel.k8s.io") as socket:
        assert (socket.status, socket.headers["sec-websocket-protocol"]) == (101, "v4.channel.k8s.io")
    with WebSocket(server, path, Sec_WebSocket_Protocol=bearer) as socket:
        assert socket.status == 400


def test_a_refusal_over_web_socket_is_an_http_answer(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}/api/v1/namespaces?watch=true"
    with WebSocket(server, path) as socket:
        assert (socket.status, json.loads(socket.body)["reason"]) == (403, "Forbidden")
    with WebSocket(server, f"{cluster}/api/v1/namespaces/default", **headers(server)) as socket:
        assert (socket.status, json.loads(socket.body)["kind"]) == (400, "Status")
    with WebSocket(server, f"{cluster}/api/v1/nothings?watch=true", **headers(server)) as socket:
        assert socket.status == 404


def test_a_web_socket_takes_the_same_steps_as_http(fresh_root: Path) -> None:
    records: list[RequestRecord] = []

    class Sink:
        def record(self, record: RequestRecord) -> None:
            records.append(record)

    async def closed(exchange: Exchange, info: RequestInfo) -> None:
        if info.resource == "secrets":
            raise StatusError(403, "Forbidden", f"closed to {exchange.user.name}")

    server = RunningServer(fresh_root, Parts(filters=lambda _: [closed], audit_sinks=lambda _: [Sink()]))
    try:
        path = "/api/v1/namespaces?watch=true"
        with WebSocket(server, path, **headers(server, Impersonate_User="joe")) as socket:
            assert socket.status == 403
        with WebSocket(server, "/api/v1/secrets?watch=true", **headers(server, Audit_ID="mine")) as socket:
            assert (socket.status, json.loads(socket.body)["message"]) == (403, "closed to admin")
        with WebSocket(server, path, **headers(server)) as socket:
            assert json.loads(socket.text())["type"] == "ADDED"
        wait_until(lambda: len(records) == 3, "three log records")
    finally:
        server.stop()
    assert [(record.user.name, record.verb, record.status) for record in records] == [
        ("joe", "watch", 403),
        ("admin", "watch", 403),
        ("admin", "watch", 101),
    ]
    assert records[1].audit_id == "mine"


def test_a_watch_over_web_socket_ends_with_a_close_message(server: RunningServer, cluster: str) -> None:
    path = f"{cluster}{CONFIG_MAPS}?watch=true&timeoutSeconds=1&resourceVersion={version_of(server, cluster)}"
    with WebSocket(server, path, **headers(server)) as socket:
        opcode, content = socket.frame()
    assert (opcode, int.from_bytes(content[:2])) == (8, 1000)


def test_a_disconnected_web_socket_client_is_detected(server: RunningServer, cluster: str) -> None:
    with WebSocket(server, f"{cluster}/api/v1/namespaces?watch=true", **headers(server)) as socket:
        socket.text()
        (session,) = sessions(server, cluster, "WebSocket")
    wait_until(lambda: session not in sessions(server, cluster), "the watch has ended")


WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
WIDGET_DEFINITION = f"{DEFINITIONS}/widgets.example.com"
MERGE = "application/merge-patch+json"


def define_widgets(server: RunningServer, cluster: str, *names: str) -> str:
    """Define Widgets and create some; return a revision from which a watch sees only later events."""
    assert server.post(cluster + DEFINITIONS, definition("widgets", "Widget")).status == 201
    for name in names:
        add_widget(server, cluster, name)
    version: str = server.get(cluster + WIDGETS).json["metadata"]["resourceVersion"]
    return version


def add_widget(server: RunningServer, cluster: str, name: str) -> None:
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}}
    assert server.post(cluster + WIDGETS, widget).status == 201


def test_a_watch_sends_the_deletes_of_a_deleted_definition_and_ends(server: RunningServer, cluster: str) -> None:
    start = define_widgets(server, cluster, "a", "b")
    with server.watch(f"{cluster}{WIDGETS}?watch=true&resourceVersion={start}") as events:
        assert server.ask("DELETE", cluster + WIDGET_DEFINITION).status == 200
        seen = [(event["type"], event["object"]["metadata"]["name"]) for event in events]  # to the end of the stream
    assert sorted(seen) == [("DELETED", "a"), ("DELETED", "b")]  # deleted at the same time, in any order
    assert sessions(server, cluster) == []
    assert server.get(cluster + WIDGETS).status == 404


def test_a_web_socket_ends_with_the_definition_too(server: RunningServer, cluster: str) -> None:
    start = define_widgets(server, cluster)
    path = f"{cluster}{WIDGETS}?watch=true&resourceVersion={start}"
    with WebSocket(server, path, **server.headers()) as socket:
        wait_until(lambda: len(sessions(server, cluster)) == 1, "the watch has begun")
        assert server.ask("DELETE", cluster + WIDGET_DEFINITION).status == 200
        opcode, payload = socket.frame()
    assert (opcode, payload[:2]) == (8, (1000).to_bytes(2, "big"))


@pytest.mark.parametrize(
    "change",
    [
        [{"name": "v1", "served": False, "storage": False}, {"name": "v2"}],
        [{"name": "v1", "additionalPrinterColumns": [{"name": "N", "type": "string", "jsonPath": ".metadata.name"}]}],
    ],
    ids=["a version that is served no more", "another column"],
)
def test_a_watch_ends_when_the_definition_changes(server: RunningServer, cluster: str, change: list[Any]) -> None:
    start = define_widgets(server, cluster)
    before = server.get(cluster + WIDGET_DEFINITION).json["spec"]["versions"][0]
    versions = [{**before, **version} for version in change]
    with server.watch(f"{cluster}{WIDGETS}?watch=true&resourceVersion={start}") as events:
        add_widget(server, cluster, "last")
        changed = server.ask("PATCH", cluster + WIDGET_DEFINITION, {"spec": {"versions": versions}}, Content_Type=MERGE)
        assert changed.status == 200, changed.json
        assert [event["object"]["metadata"]["name"] for event in events] == ["last"]


def test_a_watch_continues_when_the_served_type_does_not_change(server: RunningServer, cluster: str) -> None:
    """A change of its metadata, another definition, or the same definition in another logical cluster does not end it."""
    start = define_widgets(server, cluster)
    define_widgets(server, f"{cluster}-other")
    with server.watch(f"{cluster}{WIDGETS}?watch=true&resourceVersion={start}") as events:
        server.ask("PATCH", cluster + WIDGET_DEFINITION, {"metadata": {"labels": {"a": "b"}}}, Content_Type=MERGE)
        server.post(cluster + DEFINITIONS, definition("gadgets", "Gadget"))
        server.ask("DELETE", f"{cluster}-other{WIDGET_DEFINITION}")
        wait_until(lambda: server.get(f"{cluster}-other{WIDGETS}").status == 404, "the type is not served")
        add_widget(server, cluster, "still")
        assert next(events)["object"]["metadata"]["name"] == "still"


def test_a_watch_across_logical_clusters_outlives_one_definition(server: RunningServer, cluster: str) -> None:
    start = define_widgets(server, cluster)
    define_widgets(server, f"{cluster}-other")
    with server.watch(f"/clusters/*/apis/example.com/v1/widgets?watch=true&resourceVersion={start}") as events:
        server.ask("DELETE", f"{cluster}-other{WIDGET_DEFINITION}")
        wait_until(lambda: server.get(f"{cluster}-other{WIDGETS}").status == 404, "the type is not served")
        add_widget(server, cluster, "still")
        assert next(events)["object"]["metadata"]["name"] == "still"
