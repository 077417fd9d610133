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

from tests.stalls.many_objects import MANY_OBJECTS
from tests.stalls.printer_columns import COLUMNS
from tests.stalls.requests import ATTACKS, MAPS, Attack, Call, config_map, numbers
from tests.stalls.siblings import SIBLINGS
from tests.support.clients import Address, Answer, Connection
from tests.support.waiting import PATIENCE

LONGEST: Final = 0.5
"""Seconds of processor time on a machine on which `_reference_work` takes `REFERENCE`. The aim is 0.05.

What holds the loop for longer than this bound is a stall on any machine, also on a busy one. The run reports the figures.
"""
REFERENCE: Final = 0.10
MOST_MEMORY: Final = 400 * 1024 * 1024
"""Bytes. The aim is four times the limit on bodies: decoded objects take more (docs/decisions/0022)."""
NOT_FOUND: Final = 404
POLL: Final = 0.1
"""Seconds between two looks at whether something has gone."""


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredServer]:
    running = MeasuredServer(tmp_path_factory.mktemp("stalls"))
    yield running
    running.stop()


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


async def measure(server: MeasuredServer, cluster: str, attack: Attack) -> tuple[Answer, dict[str, float]]:
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
        return answer, await loop.run_in_executor(None, server.say, "end")


ALL: Final = [*ATTACKS, *MANY_OBJECTS, *SIBLINGS, *COLUMNS]


@pytest.mark.parametrize("number", range(len(ALL)), ids=[attack.name for attack in ALL])
async def test_a_request_does_not_stall_the_server(
    server: MeasuredServer, slowness: float, number: int, measured: Any
) -> None:
    attack = ALL[number]
    answer, figures = await measure(server, attack.place or f"stall-{number}", attack)
    held, blocked, grown = figures["held"] / slowness, figures["blocked"] / slowness, figures["grown"]
    measured(
        f"stalls: {attack.name}: held {held * 1000:.0f} ms, blocked {blocked * 1000:.0f} ms, {grown / 1e6:.0f} MB, "
        f"{answer.status}, {len(answer.body)} bytes"
    )
    assert answer.status in attack.answers, answer.body[:500]
    assert len(answer.body) <= attack.largest_answer
    assert held < LONGEST, f"the event loop was held for {held * 1000:.0f} ms"
    assert grown < MOST_MEMORY, f"the memory grew by {grown / 1e6:.0f} MB"


async def test_many_large_writes_at_once_have_a_bound(server: MeasuredServer, measured: Any) -> None:
    async def write(call: Call) -> int:
        async with Connection(server.address) as connection:
            return (await send(connection, "large-writes", call)).status

    bodies = [config_map(f"m{number}", data=numbers(90_000, "v")) for number in range(20)]
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, server.say, "begin")
    codes = await asyncio.gather(*(write(Call("POST", MAPS, partial(dict, body))) for body in bodies))
    grown = (await loop.run_in_executor(None, server.say, "end"))["grown"]
    measured(f"stalls: {len(codes)} large creates at once: {grown / 1e6:.0f} MB, answers {sorted(set(codes))}")
    assert set(codes) <= {201, 429, 504}
    assert grown < MOST_MEMORY, f"the memory grew by {grown / 1e6:.0f} MB"
