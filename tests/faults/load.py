"""Load on servers in which a test injects faults: clients that write, read, watch and check health.

Every write is conditional on the state that its writer owns, and no name is used twice, so that a write whose outcome is
unknown can be sent again, to any server, until it is known: the outcome of a refused or interrupted write is never guessed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from tests.crash.ledger import Key, Ledger, Observer, State, key_of, state_of
from tests.crash.test_killing_under_load import ACROSS, CLUSTERS, COLLECTIONS, found_now, prepare
from tests.faults.table import Line
from tests.histories import Recorder, check
from tests.histories.model import History, Outcome, Selection
from tests.histories.recorder import RESOURCES as RECORDED
from tests.histories.traffic import Worker as Mixed
from tests.support.clients import Address, Answer, Connection
from tests.support.objects import config_map
from tests.support.waiting import PATIENCE, eventually

BROKEN = (OSError, EOFError)
OBJECTS_OF_A_WRITER = 6
ANSWERED = 120.0
"""Seconds after which a request without a response is a violation: without etcd, the server refuses after at most 12 s."""
RECORDED_CLIENTS = 3
"""Clients whose operations are recorded and checked for linearizability, beside the others."""
_PAUSE = 0.05
_STRETCH = 0.5
_STAY = 50
"""Writes of a client before it uses the next server, so that a restarted one gets writes again."""
_REFUSALS = (429, 500, 503, 504)
_MERGE = "application/merge-patch+json"


class Answered(NamedTuple):
    """One answered request: when, by which server, how fast, with which status."""

    moment: float
    server: int
    kind: str
    status: int
    seconds: float


@dataclass
class Responses:
    """The responses that clients have received."""

    ledger: Ledger = field(default_factory=Ledger)
    answered: list[Answered] = field(default_factory=list)
    refusals: Counter[tuple[str, int, str, str]] = field(default_factory=Counter)
    """The number of refusals by kind of request, code, reason and message."""
    problems: list[str] = field(default_factory=list)
    broken: int = 0

    def note(self, server: int, kind: str, answer: Answer, began: float) -> None:
        """Record the response to a request of a kind (read, write)."""
        now = time.monotonic()
        self.answered.append(Answered(now, server, kind, answer.status, now - began))
        if answer.status in _REFUSALS:
            status = answer.json
            if status.get("kind") != "Status" or status.get("code") != answer.status:
                self.problems.append(
                    f"{kind} refused with {answer.status}, but not with a Status: {answer.body[:200]!r}"
                )
            self.refusals[kind, answer.status, status.get("reason", ""), status.get("message", "")] += 1

    def asked_since(self, kind: str, moment: float, *, server: int | None = None) -> list[Answered]:
        """Return the requests of a kind that were sent after a moment, and answered."""
        answered = self.answers(kind, moment, time.monotonic(), server=server)
        return [each for each in answered if each.moment - each.seconds >= moment]

    def answers(self, kind: str, since: float, until: float, *, server: int | None = None) -> list[Answered]:
        """Return the requests of a kind that were answered in a period."""
        return [
            each
            for each in self.answered
            if each.kind == kind and since <= each.moment <= until and (server is None or each.server == server)
        ]


@dataclass
class Write:
    """A write that is sent again until its outcome is known."""

    key: Key
    method: str
    step: str | None
    revision: int
    tried: bool = False

    def request(self) -> tuple[str, str, Any, str]:
        """Return method, path, body and media type."""
        collection = f"/clusters/{self.key.cluster}{COLLECTIONS[self.key.resource]}"
        path = f"{collection}/{self.key.name}"
        condition = {"resourceVersion": str(self.revision)}
        if self.method == "DELETE":
            return "DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": condition}, _JSON
        body = self._object()
        if self.method == "POST":
            return "POST", collection, body, _JSON
        body["metadata"] |= condition
        return self.method, path, body, _JSON if self.method == "PUT" else _MERGE

    def _object(self) -> dict[str, Any]:
        assert self.step is not None
        if self.key.resource == "configmaps":
            return config_map(self.key.name, step=self.step, filling="x" * 500)
        metadata = {"name": self.key.name}
        return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": {"step": self.step}}


_JSON = "application/json"


class Writer:
    """A client that writes objects of its own."""

    def __init__(self, number: int, responses: Responses, addresses: list[Address]) -> None:
        self._number = number
        self._responses = responses
        self._addresses = addresses
        self._random = random.Random(number)
        self._mine: dict[Key, State] = {}
        self._names = 0
        self._steps = 0
        self.wanted: Write | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Write without pause, to another server after a while or a failure; leave no write undecided."""
        turn = self._number
        while not stop.is_set() or self.wanted is not None:
            server = turn % len(self._addresses)
            try:
                async with asyncio.timeout(ANSWERED) as bound, Connection(self._addresses[server]) as connection:
                    for _ in range(_STAY):
                        if stop.is_set() and self.wanted is None:
                            return
                        bound.reschedule(asyncio.get_running_loop().time() + ANSWERED)
                        if not await self._step(connection, server) and len(self._addresses) > 1:
                            break
            except TimeoutError:
                self._responses.problems.append(f"no answer in {ANSWERED:.0f} s to {self.wanted}")
            except BROKEN:
                self._responses.broken += 1
                await asyncio.sleep(_PAUSE)
            turn += 1

    def _choose(self) -> Write:
        pick = self._random
        self._steps += 1
        step = f"{self._number}.{self._steps}"
        if len(self._mine) < OBJECTS_OF_A_WRITER:
            self._names += 1
            key = Key(pick.choice(tuple(COLLECTIONS)), pick.choice(CLUSTERS), f"w{self._number}-{self._names}")
            return Write(key, "POST", step, 0)
        key, state = pick.choice(list(self._mine.items()))
        method = pick.choices(("PUT", "PATCH", "DELETE"), (4, 4, 1))[0]
        return Write(key, method, None if method == "DELETE" else step, state.revision)

    async def _step(self, connection: Connection, server: int) -> bool:
        """Send the next write, or repeat the last one; false when the server could not serve it."""
        write = self.wanted
        if write is None:
            write = self.wanted = self._choose()
            self._responses.ledger.states.setdefault(write.key, None)
        self._responses.ledger.doubtful[write.key] = write.step
        tried, write.tried = write.tried, True
        method, path, body, media_type = write.request()
        began = time.monotonic()
        answer = await connection.request(method, path, body, media_type=media_type)
        self._responses.note(server, "write", answer, began)
        if answer.status in (200, 201):
            self._settle(write, state_of(answer.json) if write.step is not None else None)
        elif answer.status in _REFUSALS:
            await asyncio.sleep(_PAUSE)
            return False
        elif answer.status in (404, 409) and tried:
            await self._read_back(connection, server, write)
        else:
            self._give_up(write, f"{method} was answered with {answer.status}: {answer.body[:300]!r}")
        return True

    async def _read_back(self, connection: Connection, server: int, write: Write) -> None:
        """Read the object: its state tells whether an earlier attempt succeeded."""
        began = time.monotonic()
        path = f"/clusters/{write.key.cluster}{COLLECTIONS[write.key.resource]}/{write.key.name}"
        answer = await connection.request("GET", path)
        self._responses.note(server, "read", answer, began)
        if answer.status in _REFUSALS:
            await asyncio.sleep(_PAUSE)
        elif answer.status == 404 and write.step is None:
            self._settle(write, None)
        elif answer.status == 200 and (state := state_of(answer.json)).step == write.step:
            self._settle(write, state)
        else:
            self._give_up(write, f"was refused as if another had written; found {answer.status} {answer.body[:300]!r}")

    def _settle(self, write: Write, state: State | None) -> None:
        self._responses.ledger.acknowledge(write.key, state)
        self.wanted = None
        if state is None:
            self._mine.pop(write.key, None)
            return
        if state.step != write.step or state.revision <= write.revision:
            self._responses.problems.append(f"{write} was answered with {state}")
        self._mine[write.key] = state

    def _give_up(self, write: Write, what: str) -> None:
        self._responses.problems.append(f"{write}: {what}")
        self._mine.pop(write.key, None)
        self.wanted = None


class Health:
    """The health of one server, polled continuously."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.ready: list[tuple[float, int, str]] = []
        """Each change of /readyz: when, the code, the checks that failed."""
        self.deaths: list[str] = []
        """Answers of /livez that were not 200."""

    async def run(self, addresses: list[Address], stop: asyncio.Event) -> None:
        """Poll until stopped; a server that is not running is polled again."""
        while not stop.is_set():
            try:
                async with Connection(addresses[self.server]) as connection:
                    while not stop.is_set():
                        async with asyncio.timeout(ANSWERED):
                            await self._ask(connection)
                        await asyncio.sleep(_PAUSE)
            except (*BROKEN, TimeoutError):
                self._note(0, "no connection")
                await asyncio.sleep(_PAUSE)

    async def _ask(self, connection: Connection) -> None:
        answer = await connection.request("GET", "/readyz?verbose")
        failed = [line for line in answer.body.decode().splitlines() if line.startswith("[-]")]
        self._note(answer.status, "\n".join(failed))
        alive = await connection.request("GET", "/livez")
        if alive.status != 200:
            self.deaths.append(alive.body.decode())

    def _note(self, status: int, failed: str) -> None:
        if not self.ready or self.ready[-1][1] != status:
            self.ready.append((time.monotonic(), status, failed))

    @property
    def now(self) -> int:
        """The latest response of /readyz."""
        return self.ready[-1][1] if self.ready else 0

    def failures(self, since: float = 0.0) -> list[str]:
        """The failed checks at the moment when /readyz became 500."""
        return [failed for moment, status, failed in self.ready if status == 500 and moment >= since]

    def ready_after(self, moment: float) -> float | None:
        """When /readyz was first 200 after a moment, and still is or is again; None when it is not."""
        return (
            next((max(at, moment) for at, status, _ in reversed(self.ready) if status == 200), None)
            if (self.now == 200)
            else None
        )


class Load:
    """The clients of some servers. ``addresses`` may change while it runs: a restarted server has another port."""

    def __init__(self, addresses: list[Address], writers: int = 8) -> None:
        self.addresses = addresses
        self.responses = Responses()
        self.history = History()
        self.writers = [Writer(number, self.responses, addresses) for number in range(writers)]
        self.observers: list[tuple[int, Observer]] = []
        self.health = [Health(server) for server in range(len(addresses))]
        self._stop = asyncio.Event()
        self._end = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the load inside the block; then compare the ledger with the state on every server."""
        first = await prepare(self.addresses[0])
        servers = range(len(self.addresses))
        self.observers = [(server, Observer(resource, first)) for server in servers for resource in COLLECTIONS]
        writing = [asyncio.create_task(writer.run(self._stop)) for writer in self.writers]
        watching = [asyncio.create_task(self._observe(server, observer)) for server, observer in self.observers]
        asking = [asyncio.create_task(health.run(self.addresses, self._end)) for health in self.health]
        asking += [asyncio.create_task(self._read(server)) for server in range(len(self.addresses))]
        try:
            async with Recorder(
                [partial(self.addresses.__getitem__, server) for server in servers], clusters=1
            ) as recorder:
                self.history = recorder.history
                for server, resource in itertools.product(servers, RECORDED):
                    recorder.follow(
                        f"follower of {resource} at {server}", Selection(resource, recorder.clusters[0]), server
                    )
                recording = [asyncio.create_task(self._record(recorder, number)) for number in range(RECORDED_CLIENTS)]
                try:
                    yield
                finally:
                    self._stop.set()
                    await asyncio.gather(*recording)
            self.responses.problems += [f"history: {violation}" for violation in check(recorder.history)]
            await self.until("every write's outcome", lambda: all(task.done() for task in writing))
            await asyncio.gather(*writing)
            await self.check()
            self._end.set()
            await asyncio.gather(*asking)
        finally:
            tasks = [*writing, *watching, *asking]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in watching:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _record(self, recorder: Recorder, number: int) -> None:
        """Run a client's mixed operations, one period after another, until stopped."""
        turn = 0
        while not self._stop.is_set():
            turn += 1
            end = time.monotonic() + _STRETCH
            await Mixed(recorder, f"recorded{number}-{turn}", number, turn, end).run()

    async def _observe(self, server: int, observer: Observer) -> None:
        while True:
            path = f"{ACROSS[observer.resource]}?watch=true&allowWatchBookmarks=true&resourceVersion={observer.last}"
            try:
                async with Connection(self.addresses[server]) as connection:
                    await connection.send("GET", path)
                    status, _ = await connection.head()
                    if status != 200:
                        if status not in _REFUSALS:
                            observer.problems.append(f"a watch was answered with {status}")
                        await asyncio.sleep(_PAUSE)
                        continue
                    observer.connections += 1
                    async for line in connection.lines():
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            observer.problems.append(f"a watch from {observer.last} ended with {event['object']}")
                            return
                        if event["type"] == "BOOKMARK" or key_of("", event["object"]).cluster in CLUSTERS:
                            observer.take(event)
                        else:  # of the recorded clients
                            observer.last = int(event["object"]["metadata"]["resourceVersion"])
            except BROKEN:
                await asyncio.sleep(_PAUSE)

    async def _read(self, server: int) -> None:
        """Read current state: single objects and short lists alternately."""
        paths = [f"{COLLECTIONS['configmaps']}?limit=10", "/api/v1/namespaces/default"]
        turn = 0
        while not self._end.is_set():
            try:
                async with Connection(self.addresses[server]) as connection:
                    while not self._end.is_set():
                        turn += 1
                        began = time.monotonic()
                        async with asyncio.timeout(ANSWERED):
                            answer = await connection.request("GET", paths[turn % len(paths)])
                        self.responses.note(server, "read", answer, began)
                        if answer.status not in (200, *_REFUSALS):
                            self.responses.problems.append(
                                f"a read was answered with {answer.status}: {answer.body[:200]!r}"
                            )
                        await asyncio.sleep(_PAUSE)
            except TimeoutError:
                self.responses.problems.append(f"no answer in {ANSWERED:.0f} s to a read")
            except BROKEN:
                await asyncio.sleep(_PAUSE)

    # waiting

    async def until(self, what: str, true: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Wait for a condition; return how long that took."""
        began = time.monotonic()
        try:
            await eventually(true, what, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.summary()}") from None
        return time.monotonic() - began

    async def more_writes(self, count: int, seconds: float = PATIENCE) -> None:
        """Wait for so many more acknowledged writes."""
        target = self.responses.ledger.acknowledged + count
        await self.until(f"{count} more writes", lambda: self.responses.ledger.acknowledged >= target, seconds)

    async def recovery(self, since: float, seconds: float = PATIENCE) -> float:
        """Wait until every server is ready and has acknowledged a write sent after a moment; return how long that took."""
        servers = range(len(self.addresses))

        def moments() -> Iterator[float | None]:
            for server in servers:
                yield next(
                    (
                        each.moment
                        for each in self.responses.answered
                        if each.moment - each.seconds >= since
                        and each.server == server
                        and each.kind == "write"
                        and each.status in (200, 201)
                    ),
                    None,
                )
                yield self.health[server].ready_after(since)

        await self.until("every server works again", lambda: all(each is not None for each in moments()), seconds)
        return max(each for each in moments() if each is not None) - since

    # checking

    async def check_ledger(self) -> dict[Key, State]:
        """Compare the ledger with the state on each server; return the state on the last one."""
        ledger = self.responses.ledger
        found: dict[Key, State] = {}
        for server, address in enumerate(self.addresses):
            async with Connection(address) as connection:
                found, revision = await found_now(connection, CLUSTERS)
            self.responses.problems += [f"server {server}: {problem}" for problem in ledger.compare(found)]
            if revision < ledger.revision:
                self.responses.problems.append(f"server {server} shows revision {revision} after {ledger.revision}")
        return found

    async def check(self) -> None:
        """Compare the ledger with the state on each server, and the watchers' events with both."""
        ledger = self.responses.ledger
        found = await self.check_ledger()
        for _, observer in self.observers:
            await self._catch_up(observer, found)
        for server, observer in self.observers:
            told = [*observer.problems, *observer.missed(ledger)]
            self.responses.problems += [
                f"watch of {observer.resource} at server {server}: {problem}" for problem in told
            ]

    async def _catch_up(self, observer: Observer, found: dict[Key, State]) -> None:
        expected = {key: state for key, state in found.items() if key.resource == observer.resource}
        try:
            await eventually(
                lambda: observer.states == expected or observer.problems, "the watch shows what a list shows"
            )
        except AssertionError as error:
            observer.problems.append(str(error))

    @property
    def watches_stayed_open(self) -> bool:
        """Whether no watch had to be reopened."""
        return all(observer.connections == 1 for _, observer in self.observers)

    @property
    def checked(self) -> int:
        """The number of checked responses and events."""
        events = sum(len(seen) for _, observer in self.observers for seen in observer.seen.values())
        history = self.history
        events += sum(len(watch.responses) for watch in history.watches)
        return len(self.responses.answered) + len(history.writes) + len(history.reads) + events

    def line(self, fault: str, injected: int, recoveries: Sequence[float], note: str = "") -> Line:
        """Return the line of the fault table. Raises AssertionError when a guarantee was violated."""
        responses = self.responses
        assert responses.problems == [], self.summary()
        assert [health.deaths for health in self.health] == [[] for _ in self.health]
        refused = sum(responses.refusals.values()) + sum(write.reason.startswith("5") for write in self.history.writes)
        done = responses.ledger.acknowledged + sum(write.outcome is Outcome.OK for write in self.history.writes)
        return Line(fault, injected, done, refused, self.checked, len(responses.problems), max(recoveries), note)

    def summary(self) -> str:
        """Return a summary in one line, for messages."""
        responses = self.responses
        return (
            f"{responses.ledger.acknowledged} writes acknowledged, {sum(responses.refusals.values())} requests refused, "
            f"{responses.broken} broken off; {responses.refusals.most_common(3)}; "
            f"health {[each.ready[-3:] for each in self.health]}; "
            f"wanted {[writer.wanted for writer in self.writers if writer.wanted]}; problems {responses.problems[:5]}"
        )


async def under(
    addresses: Sequence[Address], fault: Callable[[Load], Awaitable[float]], rounds: int
) -> tuple[Load, list[float]]:
    """Run a load while a fault is injected and removed several times; return the load and the recovery times."""
    load = Load(list(addresses))
    async with load.running():
        recoveries = [await fault(load) for _ in range(rounds)]
        await load.more_writes(100)
    return load, recoveries
