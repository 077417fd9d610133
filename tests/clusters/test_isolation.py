"""Logical clusters are isolated: objects, types, discovery and owners of one are not visible in another."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from kcp.testing import Server
from tests.support.clients import Address, Answer, Connection
from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.running_coroutines import Enter
from tests.support.waiting import eventually

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(root_directory=tmp_path_factory.mktemp("isolation")) as running:
        yield running


class Cluster:
    """One logical cluster over a connection."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return await self.connection.request(method, f"/clusters/{self.name}{path}", body, **more)

    async def made(self, path: str, body: Any) -> Any:
        answer = await self.ask("POST", path, body)
        assert answer.status == 201, answer
        return answer.json

    async def get(self, path: str) -> Any:
        answer = await self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json

    async def status(self, path: str) -> int:
        return (await self.ask("GET", path)).status


@pytest.fixture
def connection(server: Server, enter: Enter) -> Connection:
    return enter(Connection(Address.of(server)))


@pytest.fixture
def one(connection: Connection) -> Cluster:
    """A fresh logical cluster."""
    return Cluster(connection, f"one-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def two(connection: Connection) -> Cluster:
    """A second one."""
    return Cluster(connection, f"two-{uuid.uuid4().hex[:8]}")


async def test_one_name_in_two_clusters_is_two_objects(one: Cluster, two: Cluster) -> None:
    first = await one.made(CONFIG_MAPS, config_map("same", of="one"))
    second = await two.made(CONFIG_MAPS, config_map("same", of="two"))
    assert first["metadata"]["uid"] != second["metadata"]["uid"]
    assert (await one.get(f"{CONFIG_MAPS}/same"))["data"] == {"of": "one"}
    assert (await one.ask("DELETE", f"{CONFIG_MAPS}/same")).status == 200
    assert await one.status(f"{CONFIG_MAPS}/same") == 404
    assert (await two.get(f"{CONFIG_MAPS}/same"))["data"] == {"of": "two"}


async def test_namespaces_are_each_cluster_s_own(one: Cluster, two: Cluster) -> None:
    await one.made("/api/v1/namespaces", {"metadata": {"name": "team"}})
    await one.made("/api/v1/namespaces/team/configmaps", config_map("a"))
    assert await two.status("/api/v1/namespaces/team") == 404
    assert (await two.ask("POST", "/api/v1/namespaces/team/configmaps", config_map("a"))).status == 404
    uids = [(await each.get("/api/v1/namespaces/default"))["metadata"]["uid"] for each in (one, two)]
    assert uids[0] != uids[1]


async def test_definitions_discovery_and_openapi_are_each_cluster_s_own(one: Cluster, two: Cluster) -> None:
    widgets = "/apis/example.com/v1/namespaces/default/widgets"
    whole = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    other = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "string"}}}}}
    plain = [(await two.ask("GET", path)).body for path in ("/apis", "/openapi/v3", "/openapi/v2")]
    await one.made(DEFINITIONS, definition("widgets", "Widget", schema=whole))
    assert await one.status(widgets) == 200
    assert await two.status(widgets) == 404
    assert "example.com" in [group["name"] for group in (await one.get("/apis"))["groups"]]
    assert "apis/example.com/v1" in (await one.get("/openapi/v3"))["paths"]
    assert [(await two.ask("GET", path)).body for path in ("/apis", "/openapi/v3", "/openapi/v2")] == plain
    assert await two.status("/apis/example.com/v1") == 404
    assert await two.status(f"{DEFINITIONS}/widgets.example.com") == 404
    # The same name with another schema: each validates by its own.
    await two.made(DEFINITIONS, definition("widgets", "Widget", schema=other))
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 1}}
    assert (await one.ask("POST", widgets, widget)).status == 201
    assert (await two.ask("POST", widgets, widget)).status == 422
    assert (await one.ask("DELETE", f"{DEFINITIONS}/widgets.example.com")).status == 200
    assert (await two.ask("POST", widgets, {**widget, "spec": {"size": "1"}})).status == 201


async def test_a_name_taken_in_one_cluster_is_free_in_another(one: Cluster, two: Cluster) -> None:
    for cluster, kind in ((one, "Widget"), (two, "Gadget")):
        spec = definition("widgets", kind)["spec"]
        spec["names"] |= {"shortNames": ["wg"]}
        made = await cluster.made(DEFINITIONS, {"metadata": {"name": "widgets.example.com"}, "spec": spec})
        conditions = (await cluster.get(f"{DEFINITIONS}/{made['metadata']['name']}"))["status"]["conditions"]
        assert {c["type"]: c["status"] for c in conditions} == {"NamesAccepted": "True", "Established": "True"}


async def test_rbac_objects_are_each_cluster_s_own(one: Cluster, two: Cluster) -> None:
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    await one.made(ROLES, {"metadata": {"name": "reader"}, "rules": rules})
    assert await two.status(f"{ROLES}/reader") == 404


async def test_owners_of_another_cluster_own_nothing(one: Cluster, two: Cluster) -> None:
    owner = await one.made(CONFIG_MAPS, config_map("owner"))
    await two.made(CONFIG_MAPS, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    child = config_map("child")
    child["metadata"]["ownerReferences"] = [reference]
    await one.made(CONFIG_MAPS, child)
    beside = config_map("beside")
    await two.made(CONFIG_MAPS, beside)
    assert (await one.ask("DELETE", f"{CONFIG_MAPS}/owner")).status == 200

    async def collected() -> bool:
        return await one.status(f"{CONFIG_MAPS}/child") == 404

    await eventually(collected, "the dependent is deleted")
    assert await two.status(f"{CONFIG_MAPS}/owner") == 200
    assert await two.status(f"{CONFIG_MAPS}/beside") == 200


async def test_a_watch_sees_its_own_cluster_and_the_wildcard_all(one: Cluster, two: Cluster) -> None:
    address = one.connection.address
    since = (await one.get(CONFIG_MAPS))["metadata"]["resourceVersion"]
    query = f"?watch=true&resourceVersion={since}"
    async with Connection(address) as own, Connection(address) as wildcard:
        await own.send("GET", f"/clusters/{one.name}{CONFIG_MAPS}{query}")
        await wildcard.send("GET", f"/clusters/*/api/v1/configmaps{query}")
        assert [(await each.head())[0] for each in (own, wildcard)] == [200, 200]
        for cluster, name in ((two, "a"), (one, "b"), (two, "c"), (one, "d")):
            await cluster.made(CONFIG_MAPS, config_map(name))
        seen: list[tuple[str, str]] = []
        async for line in wildcard.lines():
            meta = json.loads(line)["object"]["metadata"]
            seen.append((meta["annotations"]["kcp.io/cluster"], meta["name"]))
            if len(seen) == 4:
                break
        assert seen == [(two.name, "a"), (one.name, "b"), (two.name, "c"), (one.name, "d")]
        names = []
        async for line in own.lines():
            meta = json.loads(line)["object"]["metadata"]
            assert "annotations" not in meta
            names.append(meta["name"])
            if len(names) == 2:
                break
        assert names == ["b", "d"]


async def test_a_continue_token_is_not_valid_for_another_cluster(one: Cluster, two: Cluster) -> None:
    for cluster in (one, two):
        for name in ("a", "b", "c"):
            await cluster.made(CONFIG_MAPS, config_map(name, of=cluster.name))
    token = (await one.get(f"{CONFIG_MAPS}?limit=1"))["metadata"]["continue"]
    answer = await two.ask("GET", f"{CONFIG_MAPS}?limit=5&continue={token}")
    if answer.status == 200:
        assert {item["data"]["of"] for item in answer.json["items"] if "of" in item["data"]} <= {two.name}
    else:
        assert answer.status == 400


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        "A1",
        "-a",
        "a-",
        "a_b",
        "a.b",
        "a b",
        "ü-1",
        "x" * 81,
        "..",
        "a:b",
        "**",
        "*a",
        "a%00b",
        "a%2fb",
        "%2e%2e",
    ],
)
async def test_a_bad_name_is_refused_with_a_status(server: Server, name: str) -> None:
    async with Connection(Address.of(server)) as connection:
        answer = await connection.request("GET", f"/clusters/{quote(name, safe='%*:')}{CONFIG_MAPS}")
    assert answer.status in (400, 404)
    status = answer.json
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", answer.status)


async def test_a_cluster_s_database_rows_outlive_the_process_apart(tmp_path: Path) -> None:
    async def write(server: Server) -> None:
        async with Connection(Address.of(server)) as connection:
            for name in ("one", "two"):
                await Cluster(connection, name).made(CONFIG_MAPS, config_map("same", of=name))

    async def check(server: Server) -> None:
        async with Connection(Address.of(server)) as connection:
            for name in ("one", "two"):
                assert (await Cluster(connection, name).get(f"{CONFIG_MAPS}/same"))["data"] == {"of": name}

    with Server(root_directory=tmp_path) as server:
        await write(server)
    with Server(root_directory=tmp_path) as server:
        await check(server)
