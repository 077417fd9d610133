"""The conditions of imports and negotiated resources."""

from __future__ import annotations

from typing import Any

from kcp.multicluster.conditions import Condition, with_conditions

SERVED = Condition("Published", True, "Served")


def written(current: Any, wanted: Condition) -> list[dict[str, Any]]:
    found = with_conditions(current, [wanted], 1)
    assert found is not None
    return found


def test_a_condition_that_is_as_wanted_is_not_written() -> None:
    present = written(None, SERVED)
    assert with_conditions(present, [SERVED], 1) is None
    assert with_conditions(present, [SERVED], 2) is not None


def test_the_time_of_transition_changes_with_the_status_only() -> None:
    (present,) = written(None, SERVED)
    present["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    for wanted, is_kept in ((SERVED._replace(reason="Other"), True), (SERVED._replace(status=False), False)):
        (found,) = written([present], wanted)
        assert (found["lastTransitionTime"] == "2026-01-01T00:00:00Z") is is_kept


def test_conditions_of_others_are_kept() -> None:
    other = {"type": "Ready", "status": "True"}
    found = written([other], SERVED)
    assert [each["type"] for each in found] == ["Ready", "Published"]
    assert found[0] == other


def test_a_reason_and_a_message_are_as_long_as_the_server_accepts() -> None:
    refused = Condition("Published", False, "R" * 5000, "m" * 50_000)
    found = written(None, refused)
    assert (len(found[0]["reason"]), len(found[0]["message"])) == (1024, 32768)
    assert with_conditions(found, [refused], 1) is None
