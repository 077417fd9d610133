"""Responses to requests for compacted history, from a server that retains little of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from kcp.testing import Server
from tests.support.clients import Address, Answer, Connection
from tests.support.objects import config_map
from tests.support.waiting import eventually

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NAMES = [f"c{number}" for number in range(10)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that retains history for a second."""
    root = tmp_path_factory.mktemp("forgetful")
    with Server(
        root_directory=root, in_process=False, arguments=["--history-retention", "1s", "--publish-root-ca=false"]
    ) as running:
        yield running


def names(answer: Answer) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json["items"]]


async def compacted(connection: Connection, path: str, version: str) -> Answer:
    """Write until the state of a version is compacted; return the server's refusal to list it."""
    exact = f"{path}?{urlencode({'resourceVersion': version, 'resourceVersionMatch': 'Exact'})}"

    async def refusal() -> Answer | None:
        answer = await connection.request("GET", exact)
        if answer.status != 200:
            return answer
        patch = {"data": {"now": str(time.monotonic())}}
        kind = "application/merge-patch+json"
        assert (await connection.request("PATCH", f"{path}/c0", patch, media_type=kind)).status == 200
        return None

    found = await eventually(refusal, "the history is compacted")
    assert found is not None
    return found


async def test_compacted_revisions_are_410_and_a_paged_list_can_continue(server: Server, tmp_path: Path) -> None:
    path = f"/clusters/{tmp_path.name.replace('_', '-')}{CONFIG_MAPS}"
    async with Connection(Address.of(server)) as connection:
        for name in NAMES:
            assert (await connection.request("POST", path, config_map(name))).status == 201
        first = await connection.request("GET", f"{path}?limit=3")
        meta = first.json["metadata"]
        version, token = meta["resourceVersion"], meta["continue"]
        consistent = await connection.request("GET", f"{path}?{urlencode({'limit': 3, 'continue': token})}")
        assert names(consistent) == NAMES[3:6]
        assert consistent.json["metadata"]["resourceVersion"] == version

        exact = await compacted(connection, path, version)
        assert (exact.status, exact.json["reason"]) == (410, "Expired")
        watch = await connection.request("GET", f"{path}?watch=true&resourceVersion={version}&timeoutSeconds=5")
        assert (watch.status, watch.json["type"]) == (200, "ERROR")  # one event, and the end
        assert (watch.json["object"]["code"], watch.json["object"]["reason"]) == (410, "Expired")

        gone = await connection.request("GET", f"{path}?{urlencode({'limit': 3, 'continue': token})}")
        assert (gone.status, gone.json["reason"]) == (410, "Expired")
        fresh = gone.json["metadata"]["continue"]
        assert fresh not in ("", token)

        # the rest in its present state: without deleted objects, with new ones, and without the earlier pages
        assert (await connection.request("DELETE", f"{path}/c4")).status == 200
        assert (await connection.request("POST", path, config_map("c35"))).status == 201
        rest, token = [], fresh
        versions = set()
        while token:
            page = await connection.request("GET", f"{path}?{urlencode({'limit': 3, 'continue': token})}")
            assert page.status == 200, page.body
            rest += names(page)
            versions.add(page.json["metadata"]["resourceVersion"])
            token = page.json["metadata"].get("continue", "")
        assert rest == ["c3", "c35", "c5", "c6", "c7", "c8", "c9"]
        (version_now,) = versions  # from the fresh token on the pages are of one state again
        assert int(version_now) > int(version)

        # a list from any state at least as new still works
        assert (await connection.request("GET", f"{path}?resourceVersion={version}")).status == 200
