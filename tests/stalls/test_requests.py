"""No request stalls the server or exhausts its memory."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.stalls.ceilings import AIM, CEILINGS, MEGABYTE, ceiling_of
from tests.stalls.many_objects import MANY_OBJECTS
from tests.stalls.printer_columns import COLUMNS
from tests.stalls.requests import (
    ATTACKS,
    KEYED,
    MAPS,
    MERGE_PATCH,
    WIDGETS,
    YAML,
    Attack,
    Call,
    apply_of,
    config_map,
    create,
    numbers,
    widget,
)
from tests.stalls.siblings import SIBLINGS
from tests.support.clients import Address, Answer, Connection
from tests.support.waiting import PATIENCE

LONGEST: Final = 0.5
"""Seconds of processor time on a machine on which `_reference_work` takes `REFERENCE`. The aim is 0.05.

What holds the loop for longer than this bound is a stall on any machine, also on a busy one. The run reports the figures.
"""
REFERENCE: Final = 0.10
MAX_MEMORY: Final = 400 * 1024 * 1024
"""Bytes, of many large writes at once."""
KEPT: Final = 4 * 1024 * 1024
"""Bytes that a server may keep of earlier requests. More would hide as much of what the next one takes."""
COUNTED: Final = 2 * KEPT
"""Bytes that a server may keep if they count as taken by the next request."""
ATTEMPTS: Final = 8
"""Measurements of a request before its memory counts as too much: what else runs in the server only adds to a measurement."""
REPETITIONS: Final = 10
WARM: Final = 3
"""Repetitions after which caches have what they keep."""
LEAK: Final = 2_000
"""Blocks of memory for each repetition, from which they are a leak: these requests have at least 90,000 members each."""
NOT_FOUND: Final = 404
POLL: Final = 0.1
"""Seconds between checks whether an object is gone."""


def _reference_work() -> float:
    """The processor time of a fixed piece of work, in seconds: bounds are scaled by it where the machine is slower."""
    began = time.thread_time()
    found = {}
    for number in range(400_000):
        found[number] = str(number)
    return time.thread_time() - began


class MeasuredServer:
    """`tests.stalls.measured_server` as a child process."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-m", "tests.stalls.measured_server", str(root)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        admin = yaml.safe_load(Path(self._read()["kubeconfig"]).read_text())
        self.address = Address.of_kubeconfig(admin)
        self.prepared: set[str] = set()
        """The logical clusters whose preparation is done."""
        self.first_resident = 0
        """Bytes of resident memory after the warm-up."""
        self.counted = 0
        """Bytes that are kept of earlier requests, and count as taken by the next one."""

    def resident(self) -> int:
        """The resident memory after a garbage collection, in bytes."""
        return self._now()["resident"]

    def blocks(self) -> int:
        """The blocks of memory that objects have after a garbage collection."""
        return self._now()["blocks"]

    def _now(self) -> dict[str, int]:
        found: dict[str, int] = self.say("begin")
        self.say("end")
        return found

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server has ended"
        return json.loads(line)

    def say(self, word: str) -> Any:
        """Begin or end a measurement."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._read()

    def stop(self) -> None:
        """End it, whatever it does."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Servers:
    """The server of the next request: the one of the last, unless it has kept too much memory."""

    def __init__(self, roots: pytest.TempPathFactory) -> None:
        self._roots = roots
        self._running = self._started()

    def _started(self) -> MeasuredServer:
        return MeasuredServer(self._roots.mktemp("stalls"))

    def next(self, place: str = "", most: int = KEPT) -> MeasuredServer:
        """The server for a request at a place, which is prepared once for all its requests.

        It has kept ``most`` bytes at most, unless the place is prepared on it.
        """
        server = self._running
        server.counted = 0
        if place not in server.prepared and server.first_resident:
            kept = server.resident() - server.first_resident
            if kept > most:
                server.stop()
                self._running = self._started()
            elif kept > KEPT:
                server.counted = kept
        return self._running

    def stop(self) -> None:
        """End the last one."""
        self._running.stop()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    found = Servers(tmp_path_factory)
    yield found
    found.stop()


@pytest.fixture(scope="session")
def slowness() -> float:
    """How much slower than the reference this machine is, one where it is not."""
    return max(1.0, min(_reference_work() for _ in range(3)) / REFERENCE)


async def send(connection: Connection, cluster: str, call: Call) -> Answer:
    return await connection.request(
        call.method, f"/clusters/{cluster}{call.path}", call.content(), media_type=call.media_type, **call.headers
    )


async def until_gone(connection: Connection, cluster: str, path: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await send(connection, cluster, Call("GET", path))).status != NOT_FOUND:
            await asyncio.sleep(POLL)


WARM_UP: Final = [
    create(lambda: config_map(data=numbers(20_000, "v"))),
    Call("POST", MAPS, lambda: b"metadata:\n  name: yaml\n" + b"#" * 100_000, YAML),
    apply_of(lambda: config_map("applied", data={"a": "b"}), f"{MAPS}/applied"),
    Call("PATCH", f"{MAPS}/applied", lambda: {"data": {"a": "c"}}, MERGE_PATCH),
    KEYED,
    create(lambda: widget(spec={"map": {"a": "b"}}), WIDGETS),
]
"""The first requests load modules, start threads and compile expressions. What they take is not the measured request's."""


async def warm_up(server: MeasuredServer) -> None:
    async with Connection(server.address) as connection:
        for call in WARM_UP:
            answer = await send(connection, "warm-up", call)
            assert answer.status in (200, 201), answer.body[:500]
    server.first_resident = server.resident()


async def measure(server: MeasuredServer, cluster: str, attack: Attack) -> tuple[Answer, dict[str, float]]:
    if not server.first_resident:
        await warm_up(server)
    if cluster not in server.prepared:
        server.prepared.add(cluster)
        async with Connection(server.address) as connection:
            for call in attack.before:
                answer = await send(connection, cluster, call)
                assert answer.status in (200, 201), answer.body[:500]
    loop = asyncio.get_running_loop()
    async with Connection(server.address) as connection:
        await loop.run_in_executor(None, server.say, "begin")
        answer = await send(connection, "*" if attack.everywhere else cluster, attack.call)
        if attack.gone:
            await until_gone(connection, cluster, attack.gone)
        figures = await loop.run_in_executor(None, server.say, "end")
        return answer, {**figures, "grown": figures["grown"] + server.counted}


ALL: Final = [*ATTACKS, *MANY_OBJECTS, *SIBLINGS, *COLUMNS]


@pytest.mark.parametrize("number", range(len(ALL)), ids=[attack.name for attack in ALL])
async def test_a_request_does_not_stall_the_server(
    servers: Servers, slowness: float, number: int, measured: Any
) -> None:
    attack = ALL[number]
    cluster = attack.place or f"stall-{number}"
    most = KEPT if attack.place or attack.everywhere else COUNTED
    answer, figures = await measure(servers.next(attack.place, most), cluster, attack)
    for attempt in range(1, ATTEMPTS):
        if figures["grown"] <= ceiling_of(attack.name):
            break
        fresh = cluster if attack.everywhere else f"{cluster}-{attempt}"
        answer, figures = await measure(servers.next(fresh), fresh, attack)
    held, blocked, grown = figures["held"] / slowness, figures["blocked"] / slowness, figures["grown"]
    measured(
        f"stalls: {attack.name}: held {held * 1000:.0f} ms, blocked {blocked * 1000:.0f} ms, {grown / 1e6:.0f} MB, "
        f"{answer.status}, {len(answer.body)} bytes"
    )
    assert answer.status in attack.answers, answer.body[:500]
    assert len(answer.body) <= attack.largest_answer
    assert held < LONGEST, f"the event loop was held for {held * 1000:.0f} ms"
    assert grown <= ceiling_of(attack.name), f"the memory grew by {grown / 1e6:.0f} MB"


def test_each_ceiling_is_that_of_a_request() -> None:
    assert CEILINGS.keys() <= {attack.name for attack in ALL}
    assert all(ceiling * MEGABYTE > AIM for ceiling in CEILINGS.values())


LEAKS: Final = ("data", "an apply of many keys over many", "a list map of one key", "a definition with many properties")


@pytest.mark.parametrize("name", LEAKS)
async def test_what_a_request_takes_is_given_back(servers: Servers, measured: Any, name: str) -> None:
    (attack,) = (attack for attack in ALL if attack.name == name)
    server = servers.next()
    blocks, resident = [], []
    for repetition in range(REPETITIONS):
        await measure(server, f"repeated-{name.replace(' ', '-')}-{repetition}", attack)
        blocks.append(server.blocks())
        resident.append(server.resident())
    kept = blocks[-1] - blocks[WARM]
    grown, times = resident[-1] - resident[WARM], REPETITIONS - WARM - 1
    measured(f"stalls: {name}: {kept} blocks and {grown / 1e6:.1f} MB kept by {times} repetitions")
    assert kept < LEAK * times


async def test_many_large_writes_at_once_have_a_bound(servers: Servers, measured: Any) -> None:
    server = servers.next()

    async def write(call: Call) -> int:
        async with Connection(server.address) as connection:
            try:
                return (await send(connection, "large-writes", call)).status
            except ConnectionError:
                return 504  # given up, and the connection closed, while the body was still being sent

    bodies = [config_map(f"m{number}", data=numbers(90_000, "v")) for number in range(20)]
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, server.say, "begin")
    codes = await asyncio.gather(*(write(Call("POST", MAPS, partial(dict, body))) for body in bodies))
    grown = (await loop.run_in_executor(None, server.say, "end"))["grown"]
    measured(f"stalls: {len(codes)} large creates at once: {grown / 1e6:.0f} MB, answers {sorted(set(codes))}")
    assert set(codes) <= {201, 429, 504}
    assert grown < MAX_MEMORY, f"the memory grew by {grown / 1e6:.0f} MB"
