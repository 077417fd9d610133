"""A Job runs in parts that stay as they are; what no part does is done by new ones, and nothing is done again."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kcp.multicluster.placement import CLUSTER_LABEL
from kcp.multicluster.splitter.clusters import Use
from kcp.multicluster.splitter.kinds import JOB
from tests.multicluster.splitter.models import World, clusters, deployment

WORKING = (Use.OPEN, Use.CORDONED)


def job(completions: int = 6, parallelism: int = 2, **uses: Use) -> World:
    """A Job on clusters."""
    root = {**deployment(None), "kind": "Job"}
    root["spec"] |= {"completions": completions, "parallelism": parallelism}
    world = World(root, clusters(**uses), JOB)
    world.step()
    return world


def parts(world: World) -> dict[str, tuple[int, int]]:
    """The completions and the parallelism of the leaves, by name."""
    return {
        name: (leaf["spec"]["completions"], leaf["spec"]["parallelism"]) for name, leaf in sorted(world.leaves.items())
    }


def succeed(world: World, name: str, number: int | None = None) -> None:
    """Let Pods of a leaf succeed: all by default."""
    completions = world.leaves[name]["spec"]["completions"]
    world.leaves[name]["status"] = {"succeeded": completions if number is None else number}


def finish(world: World) -> None:
    """Let the Job be complete."""
    world.root["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}


def test_a_part_stays_when_other_clusters_come() -> None:
    world = job(east=Use.OPEN, west=Use.OPEN)
    assert parts(world) == {"web--east": (3, 1), "web--west": (3, 1)}
    world.clusters = clusters(east=Use.OPEN, west=Use.OPEN, north=Use.OPEN)
    assert not any(world.step())


def test_the_part_of_a_lost_cluster_is_done_by_one_that_does_less() -> None:
    world = job(east=Use.OPEN, west=Use.OPEN)
    world.clusters = clusters(east=Use.OPEN, west=Use.LOST, north=Use.OPEN)
    planned = world.step()
    assert [leaf["metadata"]["labels"][CLUSTER_LABEL] for leaf in planned.creates] == ["north"]
    assert parts(world) == {"web--east": (3, 1), "web--north": (3, 1), "web--west": (3, 1)}
    assert not any(world.step())


def test_the_part_of_a_lost_cluster_is_done_by_the_only_other_one() -> None:
    world = job(east=Use.OPEN, west=Use.OPEN)
    world.clusters = clusters(east=Use.OPEN, west=Use.LOST)
    world.step()
    assert parts(world) == {"web--east": (3, 1), "web--east--2": (3, 1), "web--west": (3, 1)}
    world.clusters = clusters(east=Use.OPEN, west=Use.OPEN)
    assert not any(world.step()), "the cluster is back and goes on"
    world.clusters = clusters(east=Use.OPEN, west=Use.LOST)
    for name in ("web--east", "web--east--2"):
        succeed(world, name)
    assert not any(world.step())
    finish(world)
    assert [leaf["metadata"]["name"] for leaf in world.step().deletes] == ["web--west"]


def test_what_is_done_is_not_done_again() -> None:
    world = job(east=Use.OPEN, west=Use.OPEN)
    succeed(world, "web--west")
    world.step()
    assert parts(world)["web--east"] == (3, 2), "the others may run more Pods at a time"
    for use in (Use.LOST, Use.DRAINED, Use.LEAVING):
        world.clusters = clusters(east=Use.OPEN, west=use)
        assert not any(world.step())
    succeed(world, "web--east")
    finish(world)
    world.clusters = clusters(east=Use.LOST, west=Use.LEAVING, north=Use.OPEN)
    assert not any(world.step())


def test_a_part_leaves_a_drained_cluster_if_there_is_another_one() -> None:
    world = job(east=Use.OPEN, west=Use.OPEN)
    world.clusters = clusters(east=Use.CORDONED, west=Use.DRAINED)
    assert not any(world.step())
    world.clusters = clusters(east=Use.OPEN, west=Use.DRAINED)
    world.step()
    assert parts(world) == {"web--east": (3, 1), "web--east--2": (3, 1)}


def test_the_part_of_a_removed_cluster_is_done_elsewhere() -> None:
    world = job(east=Use.OPEN, west=Use.OPEN)
    succeed(world, "web--west", 1)
    world.clusters = clusters(east=Use.OPEN)
    world.step()
    assert parts(world) == {"web--east": (3, 1), "web--east--2": (3, 1)}


def test_a_deleted_part_is_made_again_when_it_is_gone() -> None:
    world = job(east=Use.OPEN)
    world.leaves["web--east"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not any(world.step())
    del world.leaves["web--east"]
    world.step()
    assert parts(world) == {"web--east": (6, 2)}


USES = st.fixed_dictionaries(dict.fromkeys(("a", "b", "c"), st.sampled_from(list(Use))))


@given(st.integers(1, 9), st.integers(0, 9), st.lists(USES, min_size=1, max_size=6), st.data())
def test_all_that_is_not_done_is_under_way_while_a_cluster_takes_it(
    completions: int, parallelism: int, history: list[dict[str, Any]], data: st.DataObject
) -> None:
    world = job(completions, parallelism, **history[0])
    for uses in history:
        world.clusters = clusters(**uses)
        world.step()
        states = world.states()
        counted = [leaf for leaf in states if leaf.available >= leaf.wanted or world.state.use(leaf.cluster) in WORKING]
        if Use.OPEN in uses.values():
            assert sum(leaf.wanted for leaf in counted) >= completions
        assert all(leaf.object["spec"]["parallelism"] >= min(1, parallelism) for leaf in counted)
        assert not any(world.step()), "a plan that is written is complete"
        if data.draw(st.booleans()) and world.leaves:
            succeed(world, data.draw(st.sampled_from(sorted(world.leaves))))
