"""The conditions of imports and negotiated resources."""

from __future__ import annotations

from kcp.multicluster.negotiation.conditions import Condition, with_conditions

SERVED = Condition("Published", True, "Served")


def test_a_condition_that_is_as_wanted_is_not_written() -> None:
    written = with_conditions(None, [SERVED], 1)
    assert written is not None
    assert with_conditions(written, [SERVED], 1) is None
    assert with_conditions(written, [SERVED], 2) is not None


def test_the_time_of_transition_changes_with_the_status_only() -> None:
    (written,) = with_conditions(None, [SERVED], 1) or ()
    written["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    for wanted, kept in ((SERVED._replace(reason="Other"), True), (SERVED._replace(status=False), False)):
        (found,) = with_conditions([written], [wanted], 1) or ()
        assert (found["lastTransitionTime"] == "2026-01-01T00:00:00Z") is kept


def test_conditions_of_others_are_kept() -> None:
    other = {"type": "Ready", "status": "True"}
    written = with_conditions([other], [SERVED], 1)
    assert written is not None
    assert [each["type"] for each in written] == ["Ready", "Published"]
    assert written[0] == other


def test_a_reason_and_a_message_are_as_long_as_the_server_accepts() -> None:
    refused = Condition("Published", False, "R" * 5000, "m" * 50_000)
    written = with_conditions(None, [refused], 1)
    assert written is not None
    assert (len(written[0]["reason"]), len(written[0]["message"])) == (1024, 32768)
    assert with_conditions(written, [refused], 1) is None
