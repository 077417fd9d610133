"""The checker accepts a correct history, and finds each kind of violation in one that was changed for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kcp.multicluster.placement import Locator
from tests.multicluster.faults.checker import check
from tests.multicluster.faults.model import UP, Act, Fault, History, Lost, Place, Seen

CLUSTER_UID = "uid-of-east"


def source(at: float, name: str = "web", step: int = 1, **fields: object) -> Seen:
    place = Place(UP, "tenant", "deployments", "default", name)
    known = {"cluster": "east", "held": True, "replicas": 2, "ready": 2}
    return Seen(at, place, f"source-{name}", f"tenant/{name}/{step}", **{**known, **fields})  # type: ignore[arg-type]


def copy(at: float, name: str = "web", step: int = 1, **fields: object) -> Seen:
    place = Place("east", "", "deployments", "kcp-1", name)
    locator = Locator("tenant", "uid-of-tenant", "east", CLUSTER_UID, "default", name, f"source-{name}")
    known = {"locator": locator, "mark": CLUSTER_UID, "replicas": 2, "ready": 2}
    return Seen(at, place, f"copy-{name}", f"tenant/{name}/{step}", **{**known, **fields})  # type: ignore[arg-type]


def foreign(at: float, **fields: object) -> Seen:
    return Seen(at, Place("east", "", "configmaps", "kcp-1", "foreign"), "theirs", "theirs", **fields)  # type: ignore[arg-type]


def history() -> History:
    """A Deployment that stays, one that a user deletes, and an object of somebody else."""
    gone = [source(4, "old", deleting=True), copy(5, "old", gone=True), source(6, "old", gone=True)]
    events: list[Seen | Lost] = [
        source(1),
        copy(2),
        source(1.5, "old"),
        copy(2.5, "old"),
        foreign(3),
        *gone,
        source(7, step=2),
        copy(8, step=2),
    ]
    return History(events, [Act(3.5, "source-old")], {CLUSTER_UID: "east"})


def test_a_correct_history_has_no_violation() -> None:
    assert check(history()) == []


def _without_act(found: History) -> None:
    found.acts.clear()


def _late_act(found: History) -> None:
    found.acts[:] = [Act(5.5, "source-old")]


def _adds(*events: Seen | Lost) -> Callable[[History], None]:
    return lambda found: found.events.extend(events)


def _without_last_copy(found: History) -> None:
    found.events.pop()


def _other_side(found: History) -> None:
    found.side_of[CLUSTER_UID] = "west"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_without_act, Fault.WRONGLY_DELETED),
        (_late_act, Fault.WRONGLY_DELETED),
        (_adds(copy(9, step=2, gone=True)), Fault.WRONGLY_DELETED),
        (_adds(copy(9, step=2, gone=True)), Fault.MISSING),
        (_adds(Lost(9, "east")), Fault.MISSING),
        (_adds(copy(9, "old")), Fault.LEFT_BEHIND),
        (_adds(source(9, step=2, cluster="")), Fault.LEFT_BEHIND),
        (_adds(source(9, "other", cluster="", held=True)), Fault.LEFT_BEHIND),
        (_adds(source(9, "other", deleting=True)), Fault.LEFT_BEHIND),
        (_other_side, Fault.LEFT_BEHIND),
        (_without_last_copy, Fault.DIFFERENT),
        (_adds(copy(9, step=2, replicas=3)), Fault.DIFFERENT),
        (_adds(source(9, step=2, ready=1)), Fault.DIFFERENT),
        (_adds(copy(9, step=2, locator=copy(9, "old").locator)), Fault.WRONG_SOURCE),
        (_adds(copy(9, step=2, mark="uid-of-west")), Fault.WRONG_SOURCE),
        (_adds(copy(9, step=2)._replace(step="other-tenant/web/2")), Fault.WRONG_SOURCE),
        (_adds(copy(9, step=2)._replace(uid="second")), Fault.WRONG_SOURCE),
        (_adds(foreign(9, gone=True)), Fault.FOREIGN),
        (_adds(foreign(9, deleting=True)), Fault.FOREIGN),
        (_adds(foreign(9)._replace(step="changed")), Fault.FOREIGN),
    ],
)
def test_each_kind_of_violation_is_found(change: Callable[[History], None], fault: Fault) -> None:
    found = history()
    change(found)
    assert fault in {violation.fault for violation in check(found)}
