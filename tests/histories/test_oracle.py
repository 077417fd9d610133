"""The checker of operations agrees with a search over all orders, on correct histories and on incorrect ones."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.histories.log import Log
from tests.histories.model import Change, Freshness, History, Key, Outcome, Read, Verb, Version, Write
from tests.histories.operations import check_operations
from tests.histories.simulated import Simulation

Operation = Write | Read


def explained(history: History) -> bool:
    """Whether some order that respects real time gives every response and exactly this log (Wing and Gong)."""
    log = sorted(history.log)
    operations: list[Operation] = [
        *history.writes,
        *(read for read in history.reads if read.freshness is Freshness.LATEST),
    ]
    dead: set[tuple[int, frozenset[int]]] = set()

    def search(done: int, left: frozenset[int], state: dict[Key, Version]) -> bool:
        if done == len(log) and all(_optional(operations[index]) for index in left):
            return True
        if (done, left) in dead:
            return False
        bound = min((operations[index].returned for index in left if not _optional(operations[index])), default=1e9)
        for index in left:
            operation = operations[index]
            if operation.invoked > bound:
                continue
            change = log[done] if done < len(log) else None
            if _writes(operation):
                assert isinstance(operation, Write)
                if change is not None and _does(operation, change, state):
                    after = {key: version for key, version in state.items() if key != change.key}
                    if change.value is not None:
                        after[change.key] = Version(change.revision, change.value)
                    if search(done + 1, left - {index}, after):
                        return True
            else:
                now = log[done - 1].revision if done else history.since
                if _holds(operation, now, state, history) and search(done, left - {index}, state):
                    return True
        dead.add((done, left))
        return False

    return search(0, frozenset(range(len(operations))), {})


def _optional(operation: Operation) -> bool:
    return isinstance(operation, Write) and operation.outcome is Outcome.UNKNOWN


def _writes(operation: Operation) -> bool:
    return isinstance(operation, Write) and operation.outcome is not Outcome.REFUSED


def _does(write: Write, change: Change, state: dict[Key, Version]) -> bool:
    """Whether a write, executed now, makes this change of the log."""
    there = state.get(write.key)
    if write.key != change.key or (there is None) != (write.verb is Verb.CREATE):
        return False
    if there is not None and write.expected not in (0, there.revision):
        return False
    if write.value is None or change.value is None:
        assert there is not None or write.value is not None
        return write.value is None and change.value is None and write.deleted in ("", there.value.uid if there else "")
    kept = there.value.kept if there is not None and write.verb is Verb.PATCH else write.value.kept
    uid = there.value.uid if there is not None else change.value.uid
    wanted = write.value._replace(kept=kept, uid=uid)
    return wanted == change.value and write.answer in (None, Version(change.revision, change.value))


def _holds(operation: Operation, now: int, state: dict[Key, Version], history: History) -> bool:
    """Whether a read or a refusal, executed now, gives this response."""
    if isinstance(operation, Read):
        selection = operation.selection
        shown = {k: v for k, v in state.items() if selection.spans(k) and selection.keeps(v.value)}
        return shown == operation.versions and operation.revision in (0, now)
    under_way = [
        write
        for write in history.writes
        if write.key == operation.key
        and write.outcome is Outcome.UNKNOWN
        and write.invoked <= operation.returned
        and write.returned >= operation.invoked
    ]
    there = state.get(operation.key)
    if under_way:
        return True
    if operation.reason == "NotFound":
        return there is None
    if operation.reason == "AlreadyExists":
        return there is not None
    return there is None or there.revision != operation.expected


def disturbed(history: History, dice: random.Random) -> History:
    """Change one thing in a history: a time, a required version, an outcome, the state in a read, or the log."""
    for _ in range(dice.choice((0, 1, 1, 2))):
        what = dice.choice(("read", "read", "time", "time", "demand", "outcome", "log"))
        if what == "read" and history.reads:
            index = dice.randrange(len(history.reads))
            read = history.reads[index]
            revision = dice.randint(history.since, history.until)
            versions = Log(history).state(read.selection, revision)
            history.reads[index] = replace(read, versions=versions, revision=revision if read.revision else 0)
        elif what == "log" and history.log:
            history.log.pop(dice.randrange(len(history.log)))
        elif history.writes:
            index = dice.randrange(len(history.writes))
            write = history.writes[index]
            shift = dice.uniform(-25, 25)
            history.writes[index] = {
                "demand": replace(write, expected=max(write.expected - 1, 0)),
                "outcome": replace(write, outcome=Outcome.UNKNOWN, answer=None, deleted="", reason=""),
            }.get(what, replace(write, invoked=write.invoked + shift, returned=write.returned + shift))
    return history


@settings(max_examples=1000, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_the_checker_agrees_with_a_search(seed: int) -> None:
    dice = random.Random(seed)
    history = disturbed(Simulation(seed, keys=2, operations=10).run(), dice)
    found = list(
        check_operations(history.writes, [r for r in history.reads if r.freshness is Freshness.LATEST], Log(history))
    )
    assert (not found) == explained(history), found


def test_both_verdicts_occur() -> None:
    """Otherwise the agreement would be meaningless."""
    verdicts = Counter(
        explained(disturbed(Simulation(seed, keys=2, operations=10).run(), random.Random(seed))) for seed in range(60)
    )
    assert min(verdicts[True], verdicts[False]) >= 10, verdicts
