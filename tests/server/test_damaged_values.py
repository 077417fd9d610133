"""A server whose disk has changed the value of an object: only requests for that object fail, with its name."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.api.protobuf import encode_body
from kcp.logical_clusters import DEFAULT
from kcp.server.process.errors import ConfigurationError
from kcp.store.contract import Change, Key
from kcp.store.sqlite.store import open_store
from tests.documentation.test_readme import ROOT, blocks
from tests.support.damaging import replace_bytes
from tests.support.kcp_process import run
from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.running_server import Answer, RunningServer
from tests.support.waiting import wait_until

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
IGNORE = "ignoreStoreReadErrorWithClusterBreakingPotential"
NAMED = "configmaps default/b of logical cluster root"
DAMAGES = {"another byte": b"VALUE-OF-X", "no UTF-8": b"VALUE-OF-\xff", "no JSON": b'VALUE-OF-"'}


def change_on_disk(root: Path, before: bytes, after: bytes) -> None:
    """Change bytes in the file of a stopped server."""
    replace_bytes(root / "data/kcp.db", before, after)


def make_objects(root: Path) -> None:
    """Create ConfigMaps a, b and c, of which b has a finalizer, and a namespace with another ConfigMap."""
    with RunningServer(root) as server:
        for name in "abc":
            body = config_map(name, metadata={"labels": {"part": "of"}}, key=f"VALUE-OF-{name}")
            if name == "b":
                body["metadata"]["finalizers"] = ["example.com/kept"]
            assert server.post(CONFIG_MAPS, body).status == 201
        assert server.post("/api/v1/namespaces", {"metadata": {"name": "team"}}).status == 201
        assert server.post(CONFIG_MAPS.replace("default", "team"), config_map("inner", key="VALUE-OF-i")).status == 201


@pytest.fixture(scope="module", params=DAMAGES, ids=list(DAMAGES))
def damaged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server that has started over a file with a changed value."""
    root = tmp_path_factory.mktemp("damaged") / "root"
    make_objects(root)
    change_on_disk(root, b"VALUE-OF-b", DAMAGES[request.param])
    with RunningServer(root) as server:
        yield server


def warnings(answer: Answer) -> list[str]:
    return [text.replace('\\"', '"') for text in answer.headers.get_all("Warning") or []]


def names(answer: Answer) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json["items"]]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_request_for_the_object_gets_a_status_that_names_it_and_a_way_out(
    damaged: RunningServer, method: str
) -> None:
    body = {"PUT": config_map("b"), "PATCH": {"data": {"x": "y"}}}.get(method)
    content_type = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = damaged.ask(method, f"{CONFIG_MAPS}/b", body, Content_Type=content_type)
    assert answer.status == 500
    status = answer.json
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "InternalError", 500)
    assert status["details"] == {"name": "b", "kind": "configmaps"}
    for words in ('configmaps "b" in namespace default of logical cluster root is damaged', IGNORE, "kcp store check"):
        assert words in status["message"]


def test_a_create_of_its_name_is_a_conflict(damaged: RunningServer) -> None:
    for query in ("", "?dryRun=All"):
        answer = damaged.post(CONFIG_MAPS + query, config_map("b"))
        assert (answer.status, answer.json["reason"]) == (409, "AlreadyExists")


@pytest.mark.parametrize(
    "query",
    ["", "?limit=10", "?labelSelector=part%3Dof", "?resourceVersion=0", "?fieldSelector=metadata.namespace%3Ddefault"],
)
def test_a_list_has_the_rest_and_a_warning(damaged: RunningServer, query: str) -> None:
    answer = damaged.get(CONFIG_MAPS + query)
    assert answer.status == 200
    assert names(answer) == ["a", "c"]
    (warning,) = warnings(answer)
    assert 'configmaps "b" in namespace default of logical cluster root is left out' in warning


def test_a_list_of_its_name_is_empty_with_a_warning(damaged: RunningServer) -> None:
    answer = damaged.get(f"{CONFIG_MAPS}?fieldSelector=metadata.name%3Db")
    assert (answer.status, names(answer)) == (200, [])
    assert len(warnings(answer)) == 1


def test_pages_of_one_have_the_rest(damaged: RunningServer) -> None:
    found, token = [], ""
    while True:
        answer = damaged.get(f"{CONFIG_MAPS}?limit=1&continue={token}")
        found += names(answer)
        token = answer.json["metadata"].get("continue", "")
        if not token:
            break
    assert found == ["a", "c"]


def test_lists_of_other_forms_have_the_rest(damaged: RunningServer) -> None:
    table = damaged.get(CONFIG_MAPS, Accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert [row["object"]["metadata"]["name"] for row in table.json["rows"]] == ["a", "c"]
    everywhere = damaged.get("/clusters/*/api/v1/configmaps")
    assert names(everywhere) == ["a", "c", "inner"]
    assert len(warnings(everywhere)) == 1
    assert not warnings(damaged.get(CONFIG_MAPS.replace("default", "team")))


def test_a_watch_begins_with_the_rest_and_a_warning(damaged: RunningServer) -> None:
    answer = damaged.get(f"{CONFIG_MAPS}?watch=true&timeoutSeconds=1")
    frames = [line for line in answer.body.splitlines() if line]
    assert len(frames) == 2
    assert b'"name":"a"' in frames[0]
    assert b'"name":"c"' in frames[1]
    (warning,) = warnings(answer)
    assert 'configmaps "b"' in warning


def test_a_watch_of_the_change_itself_is_told_to_list_again(damaged: RunningServer) -> None:
    answer = damaged.get(f"{CONFIG_MAPS}?watch=true&timeoutSeconds=5&resourceVersion=1")
    assert b'"code":410' in answer.body


def test_the_server_is_ready_and_notes_the_damage(damaged: RunningServer) -> None:
    damaged.get(f"{CONFIG_MAPS}/b")
    assert damaged.get("/readyz").status == 200
    verbose = damaged.get("/readyz?verbose")
    assert verbose.status == 200
    assert f"[!]values noted: 1 value is damaged ({NAMED}); run kcp store check" in verbose.body.decode()
    assert damaged.get("/readyz/values").status == 500
    for token in (None, "jane-token"):
        withheld = damaged.get("/readyz?verbose", token=token).body.decode()
        assert "[!]values noted: reason withheld" in withheld
        assert "default/b" not in withheld
    assert "[!]values" not in damaged.get("/livez?verbose").body.decode()


def test_the_damage_is_counted(damaged: RunningServer) -> None:
    damaged.get(f"{CONFIG_MAPS}/b")
    wait_until(lambda: b"kcp_store_damaged_values 1.0" in damaged.get("/metrics").body, "the gauge is 1")


def test_a_check_names_it_and_an_export_is_refused_beside_the_server(damaged: RunningServer, tmp_path: Path) -> None:
    root = str(damaged.process.configuration.root_directory)
    checked = run("store", "check", "--root-directory", root)
    assert checked.returncode == 1, checked
    assert checked.stderr == ""
    assert "checksums      1 BROKEN" in checked.stdout
    assert "root: configmaps default/b at revision" in checked.stdout
    exported = run("store", "export", "--root-directory", root, str(tmp_path / "all.jsonl"))
    assert exported.returncode == 1, exported
    assert f"{root}/data/kcp.db: 1 value is damaged ({NAMED})" in exported.stderr
    assert "Nothing is exported" in exported.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_is_damaged_before_anything_reads_it_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make_objects(tmp_path)
    change_on_disk(tmp_path, b"VALUE-OF-b", b"VALUE-OF-B")
    with caplog.at_level(logging.ERROR), RunningServer(tmp_path) as server:
        wait_until(lambda: NAMED in server.get("/readyz?verbose").body.decode(), "the file has been read")
        for _ in range(3):
            assert server.get(f"{CONFIG_MAPS}/b").status == 500
    lines = [record.getMessage() for record in caplog.records if "is damaged" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith(f"the value of {NAMED} at revision ")


def test_it_is_deleted_with_an_option_despite_its_finalizer(tmp_path: Path) -> None:
    make_objects(tmp_path)
    change_on_disk(tmp_path, b"VALUE-OF-b", b"VALUE-OF-\xff")
    with RunningServer(tmp_path) as server:
        start = server.get(CONFIG_MAPS).json["metadata"]["resourceVersion"]
        query = f"?watch=true&resourceVersion={start}"
        with (
            server.watch(CONFIG_MAPS + query) as events,
            server.watch(f"{CONFIG_MAPS}{query}&labelSelector=part") as chosen,
        ):
            deleted = server.ask("DELETE", f"{CONFIG_MAPS}/b?{IGNORE}=true")
            assert (deleted.status, deleted.json["status"]) == (200, "Success")
            event = next(events)
            assert event["type"] == "DELETED"
            assert event["object"]["kind"] == "ConfigMap"
            meta = event["object"]["metadata"]
            assert (meta["name"], meta["namespace"]) == ("b", "default")
            assert int(meta["resourceVersion"]) > int(start)
            told = next(chosen)
            assert (told["type"], told["object"]["code"]) == ("ERROR", 410), "it may have matched"
        assert server.get(f"{CONFIG_MAPS}/b").status == 404
        listed = server.get(CONFIG_MAPS)
        assert (names(listed), warnings(listed)) == (["a", "c"], [])
        assert "[+]values ok" in server.get("/readyz?verbose").body.decode()
        assert server.post(CONFIG_MAPS, config_map("b")).status == 201
        assert server.get(f"{CONFIG_MAPS}/b").status == 200


def test_the_option_is_refused_for_an_object_that_can_be_read(damaged: RunningServer) -> None:
    answer = damaged.ask("DELETE", f"{CONFIG_MAPS}/a?{IGNORE}=true")
    assert (answer.status, answer.json["reason"]) == (422, "Invalid")
    assert (
        "is exclusively used to delete corrupt object(s), try again by removing this option" in answer.json["message"]
    )
    assert damaged.get(f"{CONFIG_MAPS}/a").status == 200
    assert damaged.ask("DELETE", f"{CONFIG_MAPS}/none?{IGNORE}=true").status == 404
    assert damaged.ask("DELETE", f"{CONFIG_MAPS}/b?{IGNORE}=false").status == 500


def test_the_option_is_taken_from_the_query_and_from_a_body_in_every_form(tmp_path: Path) -> None:
    make_objects(tmp_path)
    for name in "abci":
        change_on_disk(tmp_path, f"VALUE-OF-{name}".encode(), f"VALUE-OF_{name}".encode())
    with RunningServer(tmp_path) as server:
        options = {"apiVersion": "v1", "kind": "DeleteOptions", IGNORE: True}
        (block,) = [
            text for text in blocks(ROOT / "docs/operations.md", "sh") if text.startswith("kubectl delete --raw")
        ]
        (documented,) = re.findall("'(.*)'", block)
        assert server.ask("DELETE", documented).status == 200
        assert server.get(f"{CONFIG_MAPS}/b").status == 404
        forms: dict[str, tuple[bytes | None, str]] = {
            "default/configmaps/a": (json.dumps(options).encode(), "application/json"),
            "default/configmaps/c": (f"kind: DeleteOptions\n{IGNORE}: true\n".encode(), "application/yaml"),
            "team/configmaps/inner": (encode_body(options), "application/vnd.kubernetes.protobuf"),
        }
        for name, (body, content_type) in forms.items():
            path = f"/api/v1/namespaces/{name}"
            assert server.get(path).status == 500
            assert server.ask("DELETE", path, body, Content_Type=content_type).status == 200, name
            assert server.get(path).status == 404


@pytest.mark.parametrize(
    ("path", "options", "words"),
    [
        ("/b", {"dryRun": ["All"]}, "cannot be set together with .dryRun"),
        ("/b", {"propagationPolicy": "Background"}, "cannot be set together with .propagationPolicy"),
        ("/b", {"orphanDependents": True}, "cannot be set together with .orphanDependents"),
        ("/b", {"gracePeriodSeconds": 0}, "cannot be set together with .gracePeriodSeconds"),
        ("/b", {"preconditions": {"uid": "x"}}, "cannot be set together with .preconditions"),
        ("", {}, "is not allowed with DELETECOLLECTION"),
    ],
)
def test_the_option_excludes_others(damaged: RunningServer, path: str, options: dict[str, object], words: str) -> None:
    answer = damaged.ask("DELETE", CONFIG_MAPS + path, {"kind": "DeleteOptions", IGNORE: True, **options})
    assert (answer.status, answer.json["reason"]) == (422, "Invalid")
    assert f"{IGNORE}: Invalid value: true: {words}" in answer.json["message"]


def test_a_namespace_with_a_damaged_object_stays_until_that_is_deleted(tmp_path: Path) -> None:
    make_objects(tmp_path)
    change_on_disk(tmp_path, b"VALUE-OF-i", b"VALUE-OF-!")
    with RunningServer(tmp_path) as server:
        assert server.ask("DELETE", "/api/v1/namespaces/team").status == 200

        def remaining() -> bool:
            namespace = server.get("/api/v1/namespaces/team").json
            conditions = {each["type"]: each for each in namespace["status"].get("conditions", ())}
            return bool(conditions.get("NamespaceContentRemaining", {}).get("status") == "True")

        wait_until(remaining, "the namespace says that something is left")
        inner = f"/api/v1/namespaces/team/configmaps/inner?{IGNORE}=true"
        assert server.ask("DELETE", inner).status == 200
        wait_until(lambda: server.get("/api/v1/namespaces/team").status == 404, "the namespace is gone")


def test_a_damaged_definition_makes_only_its_own_type_unavailable(tmp_path: Path) -> None:
    with RunningServer(tmp_path) as server:
        for plural in ("tops", "lows"):
            schema = {"type": "object", "description": f"ABOUT-{plural}"}
            assert server.post(DEFINITIONS, definition(plural, plural.title(), schema=schema)).status == 201
    change_on_disk(tmp_path, b"ABOUT-tops", b"ABOUT-topS")
    with RunningServer(tmp_path) as server:
        assert server.get("/apis/example.com/v1/lows").status == 200
        assert server.get("/apis/example.com/v1/tops").status == 503
        assert server.get(f"{DEFINITIONS}/tops.example.com").status == 500
        assert server.ask("DELETE", f"{DEFINITIONS}/tops.example.com?{IGNORE}=true").status == 200
        assert server.get("/apis/example.com/v1/tops").status == 404
        assert server.get(f"{DEFINITIONS}/tops.example.com").status == 404
        assert server.get("/apis/example.com/v1/lows").status == 200


def test_a_damaged_identity_of_the_log_ends_the_start_with_one_line(tmp_path: Path) -> None:
    make_objects(tmp_path)
    change_on_disk(tmp_path, b'"created":"20', b'"created":"2?')
    with pytest.raises(
        ConfigurationError, match=r"servers.kcp.io identity of the server .* is damaged.*restore a snapshot"
    ):
        RunningServer(tmp_path)


def test_a_table_that_cannot_be_read_ends_the_start_with_one_line(tmp_path: Path) -> None:
    make_objects(tmp_path)
    file = tmp_path / "data/kcp.db"

    async def add_objects() -> None:
        store = open_store(file)
        for number in range(300):
            await store.write([Change(Key("configmaps", DEFAULT, "default", f"n{number}"), b"{}")])
        await store.close()

    asyncio.run(add_objects())
    content = bytearray(file.read_bytes())
    index_leaf = 10
    for start in range(4096, len(content), 4096):
        page = content[start : start + 4096]
        if page[0] == index_leaf and page.count(b"configmaps") > 50 and b"servers.kcp.io" not in page:
            content[start] = 0
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^the store cannot read: database disk image is malformed"):
        RunningServer(tmp_path)
