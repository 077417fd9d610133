"""The mix of operations that Kubernetes clients make, after etcd's robustness suite (tests/robustness/traffic/kubernetes.go).

Reads: 80 % list and watch, 8 % get at or after a resource version, 5 % get, 5 % stale list, 2 % stale get, with exact lists
of a past state among the last two. Writes: 90 % changes (two of three updates of a known version, else merge patches), 5 %
creates, 5 % deletes (half of them of a known version).
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

from tests.histories.model import Freshness, Key, Outcome, Selection, Value, Verb, Version

if TYPE_CHECKING:
    from tests.histories.recorder import Client, Recorder

NAMES: Final = 6
_PAUSE_AFTER_FAILURE: Final = 0.02
_SHORT_WATCHES: Final = 2
_READS: Final = {"list and watch": 80, "get after": 8, "get": 5, "stale list": 4, "exact list": 2, "stale get": 1}
_WRITES: Final = {"change": 90, "create": 5, "delete": 5}


async def run(recorder: Recorder, seconds: float, clients: int, seed: int) -> None:
    """Run clients that write and read for some seconds, and followers of every kind of selection."""
    from tests.histories.recorder import COLOURS, NAMESPACES, RESOURCES

    turn = 0
    for resource in RESOURCES:
        for cluster in (None, recorder.clusters[0]):
            for colour in (None, COLOURS[0]):
                selection = Selection(resource, cluster, NAMESPACES[0] if cluster else None, colour)
                if cluster is not None or colour is None:
                    recorder.follow(f"follower-{seed}-{turn}", selection, turn, seconds=turn % 3)
                    turn += 1
    end = time.monotonic() + seconds
    workers = [Worker(recorder, f"c{seed}-{number}", number, seed, end) for number in range(clients)]
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())


class Worker:
    """Random operations of one client. The versions that it has seen become stale, as those of a real client."""

    def __init__(self, recorder: Recorder, name: str, number: int, seed: int, end: float) -> None:
        self._recorder = recorder
        self._client: Client = recorder.client(name, number)
        self._name = name
        self._number = number
        self._dice = random.Random(f"{seed}/{number}")
        self._end = end
        self._known: dict[Key, Version] = {}
        self._revision = recorder.history.since
        self._watching: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run operations until the time is over."""
        async with self._client:
            while time.monotonic() < self._end and not self._recorder.stopped:
                done = await (self._write() if self._dice.random() < 0.5 else self._read())
                if not done:
                    await asyncio.sleep(_PAUSE_AFTER_FAILURE)
            await asyncio.gather(*self._watching)

    def _key(self) -> Key:
        from tests.histories.recorder import NAMESPACES, RESOURCES

        dice = self._dice
        cluster = dice.choice(self._recorder.clusters)
        return Key(dice.choice(RESOURCES), cluster, dice.choice(NAMESPACES), f"n{dice.randrange(NAMES)}")

    def _range(self) -> Selection:
        from tests.histories.recorder import COLOURS

        key, dice = self._key(), self._dice
        namespace = key.namespace if dice.random() < 0.5 else None
        return Selection(key.resource, key.cluster, namespace, dice.choice((None, None, *COLOURS)))

    def _pick(self, weights: dict[str, int]) -> str:
        return self._dice.choices(list(weights), list(weights.values()))[0]

    async def _write(self) -> bool:
        from tests.histories.recorder import COLOURS

        key, dice, client = self._key(), self._dice, self._client
        what = self._pick(_WRITES)
        known = self._known.get(key)
        step = client.next_step()
        value: Value | None = Value(step, dice.choice(COLOURS), step)
        if what == "create" or (what == "change" and known is None):
            verb, expected = Verb.CREATE, 0
        elif what == "delete":
            verb, expected, value = Verb.DELETE, known.revision if known and dice.random() < 0.5 else 0, None
        else:
            assert known is not None
            verb = dice.choice((Verb.UPDATE, Verb.UPDATE, Verb.PATCH))
            expected = known.revision if verb is Verb.UPDATE else 0
        write = await client.write(verb, key, value, expected)
        if write.answer is not None:
            self._note({key: write.answer})
        elif write.outcome is not Outcome.UNKNOWN and write.reason != "AlreadyExists":
            self._known.pop(key, None)
        elif write.reason == "AlreadyExists":
            await self._get(key, Freshness.LATEST)
        return write.outcome is not Outcome.UNKNOWN

    async def _read(self) -> bool:
        what = self._pick(_READS)
        if what == "get":
            return await self._get(self._key(), Freshness.LATEST)
        if what == "get after":
            return await self._get(self._key(), Freshness.ANY, self._revision)
        if what == "stale get":
            return await self._get(self._key(), Freshness.ANY)
        freshness = {"list and watch": Freshness.LATEST, "stale list": Freshness.ANY, "exact list": Freshness.EXACT}[
            what
        ]
        selection = self._range()
        read = await self._client.read(selection, freshness, self._revision if freshness is Freshness.EXACT else 0)
        if read is None:
            return False
        if freshness is Freshness.LATEST:
            self._note(read.versions, read.revision)
            self._watch(selection, read.revision)
        return True

    async def _get(self, key: Key, freshness: Freshness, at: int = 0) -> bool:
        selection = Selection(key.resource, key.cluster, key.namespace, None, key.name)
        read = await self._client.read(selection, freshness, at)
        if read is not None and freshness is Freshness.LATEST:
            self._note(read.versions)
        return read is not None

    def _note(self, versions: dict[Key, Version], revision: int = 0) -> None:
        self._known |= versions
        self._revision = max([self._revision, revision, *(version.revision for version in versions.values())])

    def _watch(self, selection: Selection, since: int) -> None:
        """A watch of a moment, from the list or from some revision before it."""
        from tests.histories.recorder import Follower

        if len(self._watching) >= _SHORT_WATCHES:
            return
        if self._dice.random() < 0.3:
            since = max(self._recorder.history.since, since - self._dice.randrange(200))
        seconds = self._dice.uniform(0.1, 0.8)
        client = self._recorder.client(f"{self._name}-watch", self._number + self._dice.randrange(2))

        async def watch() -> None:
            try:
                async with asyncio.timeout(seconds):
                    await Follower(client, selection, since).once()
            except TimeoutError:
                pass

        task = asyncio.create_task(watch())
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
