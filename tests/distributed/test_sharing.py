"""Any server serves everything: writes through one server are visible on the others."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import AsyncExitStack

from tests.conftest import Report
from tests.distributed.conftest import StartServers
from tests.distributed.measuring import summary
from tests.support.clients import Address, Connection
from tests.support.objects import DEFINITIONS, Object, config_map, definition
from tests.support.waiting import PATIENCE, eventually

ROUNDS = 40
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def create_when_served(connection: Connection, path: str, obj: Object) -> None:
    """Create an object as soon as its type is served."""

    async def created() -> bool:
        answer = await connection.request("POST", path, obj)
        assert answer.status in (201, 404), answer.body
        return answer.status == 201

    await eventually(created, f"{path} is served")


async def test_a_definition_made_through_one_server_is_served_by_the_others(
    start_servers: StartServers, measured: Report
) -> None:
    seconds = []
    async with AsyncExitStack() as stack:
        first, *others = [await stack.enter_async_context(Connection(Address.of(each))) for each in start_servers(3)]
        for number in range(ROUNDS):
            made = await first.request("POST", DEFINITIONS, definition(f"things{number}", f"Thing{number}"))
            assert made.status == 201
            answered = time.monotonic()
            path = f"/apis/example.com/v1/namespaces/default/things{number}"
            for index, other in enumerate(others):
                metadata = {"name": f"a{index}"}
                thing = {"apiVersion": "example.com/v1", "kind": f"Thing{number}", "metadata": metadata}
                await create_when_served(other, path, thing)
                seconds.append(time.monotonic() - answered)
    measured(summary("a definition served by another server", seconds))


async def test_a_type_that_one_server_serves_is_not_missing_on_another(start_servers: StartServers) -> None:
    async with AsyncExitStack() as stack:
        first, *others = [await stack.enter_async_context(Connection(Address.of(each))) for each in start_servers(3)]
        for number in range(ROUNDS):
            path = f"/apis/example.com/v1/namespaces/default/things{number}"
            made = await first.request("POST", DEFINITIONS, definition(f"things{number}", f"Thing{number}"))
            assert made.status == 201

            async def served(path: str = path) -> bool:
                return (await first.request("GET", path)).status == 200

            await eventually(served, f"{path} is served")
            assert [(await other.request("GET", path)).status for other in others] == [200] * len(others)


async def test_two_servers_never_give_one_kind_to_two_definitions(start_servers: StartServers) -> None:
    """Each server checks names against the definitions that it sees; of two concurrent writes, one is checked again."""
    taken = []
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(Connection(Address.of(each))) for each in start_servers(2)]
        for number in range(ROUNDS):
            kinds = [definition(f"{side}things{number}", f"Thing{number}") for side in ("left", "right")]
            answers = await asyncio.gather(
                *(
                    connection.request("POST", DEFINITIONS, kind)
                    for connection, kind in zip(connections, kinds, strict=True)
                )
            )
            assert [answer.status for answer in answers] == [201, 201], [answer.body for answer in answers]
            listed = await connections[0].request("GET", DEFINITIONS)
            taken.append(
                [
                    item["metadata"]["name"]
                    for item in listed.json["items"]
                    if item["spec"]["names"]["kind"] == f"Thing{number}"
                    for condition in item["status"]["conditions"]
                    if (condition["type"], condition["status"]) == ("Established", "True")
                ]
            )
    assert [len(names) for names in taken] == [1] * ROUNDS, taken


async def test_a_read_shows_what_another_server_has_acknowledged(start_servers: StartServers) -> None:
    servers = start_servers(2)
    async with Connection(Address.of(servers[0])) as one, Connection(Address.of(servers[1])) as other:
        for number in range(100):
            name = f"c{number}"
            assert (await one.request("POST", CONFIG_MAPS, config_map(name, step="1"))).status == 201
            found = await other.request("GET", f"{CONFIG_MAPS}/{name}")
            assert found.status == 200
            changed = config_map(name, step="2")
            changed["metadata"]["resourceVersion"] = found.json["metadata"]["resourceVersion"]
            assert (await other.request("PUT", f"{CONFIG_MAPS}/{name}", changed)).status == 200
            listed = await one.request("GET", CONFIG_MAPS)
            assert {item["metadata"]["name"]: item["data"].get("step") for item in listed.json["items"]}[name] == "2"


async def test_a_watch_shows_another_servers_writes(start_servers: StartServers, measured: Report) -> None:
    one_server, other_server = start_servers(2)
    seconds: list[float] = []
    written: dict[str, float] = {}
    async with Connection(Address.of(one_server)) as one, Connection(Address.of(other_server)) as watching:
        now = (await watching.request("GET", CONFIG_MAPS)).json["metadata"]["resourceVersion"]
        await watching.send("GET", f"{CONFIG_MAPS}?watch=true&resourceVersion={now}")
        assert (await watching.head())[0] == 200

        async def read() -> None:
            async for line in watching.lines():
                event = json.loads(line)
                assert event["type"] == "ADDED"
                seconds.append(time.monotonic() - written[event["object"]["metadata"]["name"]])
                if len(seconds) == 300:
                    return

        reading = asyncio.create_task(read())
        for number in range(300):
            written[f"c{number}"] = time.monotonic()
            assert (await one.request("POST", CONFIG_MAPS, config_map(f"c{number}"))).status == 201
        await asyncio.wait_for(reading, PATIENCE)
    measured(summary("from the request of a write to its event on another server", seconds))


async def username(address: Address) -> str:
    """The user as whom a server authenticates a client."""
    async with Connection(address) as connection:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await connection.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
        return str(answer.json["status"]["userInfo"]["username"])


async def test_credentials_of_one_server_work_on_all(start_servers: StartServers) -> None:
    first, second = start_servers(2)
    assert first.token == second.token
    assert first.certificate_authority.read_bytes() == second.certificate_authority.read_bytes()
    folder = first.kubeconfig.parent
    trust = ssl.create_default_context(cafile=str(first.certificate_authority))
    trust.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    address = Address.of(second)
    assert await username(Address(address.host, address.port, first.token, Address.of(first).trust)) == "admin"
    assert await username(Address(address.host, address.port, "", trust)) == "admin"
    for name in ("ca.key", "admin.token"):
        assert (second.kubeconfig.parent / name).stat().st_mode & 0o777 == 0o600
