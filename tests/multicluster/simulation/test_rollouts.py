"""How copies move from old ReplicaSets to the new one: within the limits of the strategy, and to the end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kcp.multicluster.simulation.rollouts import Copies, roll_out
from kcp.multicluster.workloads import rolling_limits

QUANTITIES = st.one_of(st.integers(0, 5), st.integers(0, 100).map(lambda percent: f"{percent}%"))


def running(copies: int) -> Copies:
    """A ReplicaSet whose copies are all available."""
    return Copies(copies, copies, copies)


@given(st.integers(0, 20), st.lists(st.integers(0, 8), max_size=3), QUANTITIES, QUANTITIES)
def test_a_rollout_keeps_its_limits_and_comes_to_its_end(
    replicas: int, old: list[int], unavailable: int | str, surge: int | str
) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}
    gone, added = rolling_limits(strategy, replicas)
    new, sets = running(0), [running(each) for each in old]
    most, least = max(sum(old), replicas + added), min(sum(old), replicas - gone)
    for _ in range(100):
        grown, kept = roll_out(strategy, replicas, new, sets)
        assert grown + sum(kept) <= most
        assert (
            min(new.available, grown)
            + sum(min(each.available, number) for each, number in zip(sets, kept, strict=True))
            >= least
        )
        if (grown, kept) == (new.wanted, [each.wanted for each in sets]):
            break
        new, sets = running(grown), [running(each) for each in kept]
    assert new.wanted == replicas
    assert not any(each.wanted for each in sets)


def test_copies_that_are_not_available_go_first() -> None:
    strategy = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert roll_out(strategy, 4, Copies(1, 1, 0), [Copies(1, 1, 0), running(4)]) == (1, [0, 4])


def test_all_old_copies_go_before_new_ones_are_made_where_the_strategy_says_so() -> None:
    assert roll_out({"type": "Recreate"}, 3, Copies(0, 0, 0), [running(3)]) == (0, [0])
    assert roll_out({"type": "Recreate"}, 3, Copies(0, 0, 0), [Copies(0, 0, 0)]) == (3, [0])
