"""Any server serves everything: what is done through one is there on the others."""

from __future__ import annotations

import asyncio
import json
import ssl
import time

from tests.distributed.conftest import StartServers
from tests.distributed.measuring import percentile, show
from tests.support.clients import Address, Connection
from tests.support.objects import DEFINITIONS, config_map, definition

ROUNDS = 40
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def test_a_definition_made_through_one_server_is_in_force_on_the_others(start_servers: StartServers) -> None:
    servers = start_servers(3)

    async def work() -> list[float]:
        seconds = []
        first, *others = [await Connection(Address.of(server)).__aenter__() for server in servers]
        for number in range(ROUNDS):
            kind = definition(f"things{number}", f"Thing{number}")
            assert (await first.request("POST", DEFINITIONS, kind)).status == 201
            answered = time.monotonic()
            thing = {"apiVersion": "example.com/v1", "kind": f"Thing{number}", "metadata": {"name": "a"}}
            for index, other in enumerate(others):
                thing["metadata"] = {"name": f"a{index}"}
                path = f"/apis/example.com/v1/namespaces/default/things{number}"
                while (answer := await other.request("POST", path, thing)).status == 404:
                    assert time.monotonic() - answered < 5
                assert answer.status == 201, answer.body
                seconds.append(time.monotonic() - answered)
        for connection in (first, *others):
            await connection.__aexit__(None, None, None)
        return seconds

    seconds = asyncio.run(work())
    show("a definition in force on another server", seconds)
    assert percentile(seconds, 0.99) < 1


def test_two_servers_never_give_one_kind_to_two_definitions(start_servers: StartServers) -> None:
    """Each server judges a definition by those it sees; of two that are written at once one is judged again."""
    servers = start_servers(2)

    async def work() -> list[list[str]]:
        connections = [await Connection(Address.of(server)).__aenter__() for server in servers]
        taken = []
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
        for connection in connections:
            await connection.__aexit__(None, None, None)
        return taken

    taken = asyncio.run(work())
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
            assert {item["metadata"]["name"]: item["data"]["step"] for item in listed.json["items"]}[name] == "2"


def test_watch_events_of_another_servers_writes(start_servers: StartServers) -> None:
    servers = start_servers(2)

    async def work() -> list[float]:
        seconds: list[float] = []
        written: dict[str, float] = {}
        async with Connection(Address.of(servers[0])) as one, Connection(Address.of(servers[1])) as watching:
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
            await asyncio.wait_for(reading, 10)
        return seconds

    show("from the request of a write to its event on another server", asyncio.run(work()))


def test_credentials_of_one_server_work_on_all(start_servers: StartServers) -> None:
    first, second = start_servers(2)
    assert first.token == second.token
    assert first.certificate_authority.read_bytes() == second.certificate_authority.read_bytes()

    async def who(address: Address) -> str:
        async with Connection(address) as connection:
            review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            answer = await connection.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
            return str(answer.json["status"]["userInfo"]["username"])

    folder = first.kubeconfig.parent
    trust = ssl.create_default_context(cafile=str(first.certificate_authority))
    trust.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    address = Address.of(second)
    assert asyncio.run(who(Address(address.host, address.port, first.token, Address.of(first).trust))) == "admin"
    assert asyncio.run(who(Address(address.host, address.port, "", trust))) == "admin"
    for name in ("ca.key", "admin.token"):
        assert (second.kubeconfig.parent / name).stat().st_mode & 0o777 == 0o600
