"""Correct histories from a model: each operation takes effect at some moment between its invocation and its return."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.histories import model
from tests.histories.log import Log

COLOURS = ("red", "blue")
CLIENTS = 4


@dataclass
class _Pending:
    """An operation in progress: first applied to the log, then answered."""

    client: str
    plan: dict[str, Any]
    invoked: float
    facts: dict[str, Any] | None = None


class Simulation:
    """One run; `history` is complete after `run`."""

    def __init__(self, seed: int, *, keys: int = 3, operations: int = 60) -> None:
        self._dice = random.Random(seed)
        self._keys = [
            model.Key("configmaps", f"cluster-{index % 2}", "default", f"n{index // 2}") for index in range(keys)
        ]
        self._left = operations
        self._state: dict[model.Key, model.Version] = {}
        self._seen: dict[model.Key, list[model.Version]] = {}
        self._clock = 0.0
        self._steps = 0
        self.history = model.History(since=10, until=10)

    @property
    def _revision(self) -> int:
        return self.history.until

    def run(self) -> model.History:
        """Run operations that overlap in every way, then watches over the log that they made."""
        busy: dict[str, _Pending] = {}
        while self._left or busy:
            self._clock += 1.0
            client = f"c{self._dice.randrange(CLIENTS)}"
            pending = busy.get(client)
            if pending is None:
                if self._left:
                    self._left -= 1
                    busy[client] = _Pending(client, self._plan(client), self._clock)
            elif pending.facts is None:
                pending.facts = self._take(pending)
            else:
                del busy[client]
                self._answer(pending)
        log = Log(self.history)
        for number in range(6):
            self.history.watches.append(self._watch(number, log))
        return self.history

    def _plan(self, client: str) -> dict[str, Any]:
        dice = self._dice
        key = dice.choice(self._keys)
        what = dice.choice(
            (*model.Verb, model.Verb.UPDATE, model.Verb.PATCH, "get", "list", "stale get", "stale list", "exact list")
        )
        if isinstance(what, model.Verb) and key not in self._state and dice.random() < 0.8:
            what = model.Verb.CREATE
        elif what is model.Verb.CREATE and dice.random() < 0.7:
            what = model.Verb.UPDATE
        if not isinstance(what, model.Verb):
            colour = dice.choice((None, *COLOURS))
            single = what.endswith("get")
            selection = model.Selection(
                key.resource, key.cluster, key.namespace, None if single else colour, key.name if single else None
            )
            freshness = {"s": model.Freshness.ANY, "e": model.Freshness.EXACT}.get(what[0], model.Freshness.LATEST)
            return {"selection": selection, "freshness": freshness}
        self._steps += 1
        step = f"{client}.{self._steps}"
        value = None if what is model.Verb.DELETE else model.Value(step, dice.choice(COLOURS), step)
        seen = self._seen.get(key)
        pinned = seen and (what is model.Verb.UPDATE or (what is model.Verb.DELETE and dice.random() < 0.5))
        return {"verb": what, "key": key, "value": value, "expected": seen[-1].revision if pinned and seen else 0}

    def _take(self, pending: _Pending) -> dict[str, Any]:
        plan = pending.plan
        if "verb" not in plan:
            return self._read(plan)
        lost = self._dice.random()
        if lost < 0.05:
            return {"outcome": model.Outcome.UNKNOWN}
        facts = self._write(plan["verb"], plan["key"], plan["value"], plan["expected"])
        return {"outcome": model.Outcome.UNKNOWN} if lost < 0.1 else facts

    def _write(self, verb: model.Verb, key: model.Key, value: model.Value | None, expected: int) -> dict[str, Any]:
        there = self._state.get(key)
        if verb is model.Verb.CREATE and there is not None:
            return {"outcome": model.Outcome.REFUSED, "reason": "AlreadyExists"}
        if verb is not model.Verb.CREATE and there is None:
            return {"outcome": model.Outcome.REFUSED, "reason": "NotFound"}
        if there is not None and expected not in (0, there.revision):
            return {"outcome": model.Outcome.REFUSED, "reason": "Conflict"}
        self.history.until += 1
        if value is None:
            assert there is not None
            del self._state[key]
            self.history.log.append(model.Change(self._revision, key, None))
            return {"outcome": model.Outcome.OK, "deleted": there.value.uid}
        value = value._replace(uid=there.value.uid if there else f"uid-{self._revision}")
        if verb is model.Verb.PATCH:
            assert there is not None
            value = value._replace(kept=there.value.kept)
        self._state[key] = model.Version(self._revision, value)
        self._seen.setdefault(key, []).append(self._state[key])
        self.history.log.append(model.Change(self._revision, key, value))
        return {"outcome": model.Outcome.OK, "answer": self._state[key]}

    def _read(self, plan: dict[str, Any]) -> dict[str, Any]:
        selection, freshness = plan["selection"], plan["freshness"]
        at = self._dice.randint(self.history.since, self._revision) if freshness is model.Freshness.EXACT else 0
        log = Log(self.history)
        revision = at or self._revision
        versions = log.state(selection, revision)
        return {"versions": versions, "revision": 0 if selection.name else revision, "at": at}

    def _answer(self, pending: _Pending) -> None:
        assert pending.facts is not None
        times: dict[str, Any] = {"invoked": pending.invoked, "returned": self._clock}
        if "verb" in pending.plan:
            self.history.writes.append(model.Write(pending.client, **pending.plan, **times, **pending.facts))
        else:
            self.history.reads.append(model.Read(pending.client, "server", **pending.plan, **times, **pending.facts))

    def _watch(self, number: int, log: Log) -> model.Watch:
        dice = self._dice
        key = dice.choice(self._keys)
        selection = model.Selection(key.resource, dice.choice((None, key.cluster)), None, dice.choice((None, *COLOURS)))
        since = dice.randint(self.history.since, self._revision)
        watch = model.Watch(f"w{number}", "server", selection, since)
        last = dice.randint(since, self._revision)
        for change in log.between(since, last):
            event = log.event(selection, change)
            if event is not None:
                watch.responses.append((event,))
            if dice.random() < 0.2:
                watch.responses.append((model.Event(model.BOOKMARK, change.revision),))
        if dice.random() < 0.5:
            watch.complete_to = last
        return watch
