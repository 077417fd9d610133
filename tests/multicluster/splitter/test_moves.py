"""How copies move between clusters: new ones are ready before old ones go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kcp.multicluster.splitter.clusters import Use
from kcp.multicluster.splitter.moves import Held, next_copies
from tests.multicluster.splitter.models import World, clusters, deployment

HELD = st.lists(
    st.builds(
        lambda name, use, copies, idle: Held(name, use, copies, max(0, copies - idle) if use < Use.LOST else 0),
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(list(Use)),
        st.integers(0, 8),
        st.integers(0, 3),
    ),
    max_size=4,
    unique_by=lambda each: each.cluster,
)
TARGETS = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(0, 8))


@given(HELD, TARGETS)
def test_available_copies_go_only_while_enough_others_are_available(held: list[Held], targets: dict[str, int]) -> None:
    wanted = sum(targets.values())
    found = next_copies(wanted, targets, held)
    serving = sum(each.available for each in held if each.use < Use.LOST)
    still = sum(min(each.available, found.get(each.cluster, 0)) for each in held if each.use < Use.LOST)
    assert still >= min(wanted, serving)


@given(HELD, TARGETS)
def test_missing_copies_are_made_at_once_and_no_more_than_the_target(held: list[Held], targets: dict[str, int]) -> None:
    found = next_copies(sum(targets.values()), targets, held)
    before = {each.cluster: each.copies for each in held if each.use is not Use.LEAVING}
    for cluster, target in targets.items():
        assert found.get(cluster, 0) >= target
    assert all(number <= max(before.get(cluster, 0), targets.get(cluster, 0)) for cluster, number in found.items())


@given(TARGETS)
def test_what_is_at_its_target_stays(targets: dict[str, int]) -> None:
    held = [Held(name, Use.OPEN, number, number) for name, number in targets.items()]
    assert next_copies(sum(targets.values()), targets, held) == {
        name: number for name, number in targets.items() if number
    }


def test_a_drained_cluster_keeps_its_copies_until_others_are_ready() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    world.clusters = clusters(east=Use.OPEN, west=Use.DRAINED)
    world.step()
    assert world.copies() == {"east": 10, "west": 5}
    world.report("web--east", replicas=10, updatedReplicas=10, availableReplicas=8, readyReplicas=8)
    world.step()
    assert world.copies() == {"east": 10, "west": 2}
    world.settle()
    assert world.copies() == {"east": 10}


def test_copies_of_a_lost_cluster_are_replaced_at_once_and_go_when_the_others_are_ready() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    world.clusters = clusters(east=Use.OPEN, west=Use.LOST)
    world.step()
    assert world.copies() == {"east": 10, "west": 5}
    world.settle()
    assert world.copies() == {"east": 10}


def test_copies_stay_where_they_are_while_no_cluster_takes_any() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    for uses in (clusters(east=Use.LOST, west=Use.LOST), clusters(east=Use.LOST, west=Use.DRAINED)):
        world.clusters = uses
        assert not any(world.step())


def test_a_cordoned_cluster_keeps_its_copies_and_gets_no_more() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    world.clusters = clusters(east=Use.OPEN, west=Use.CORDONED)
    assert not any(world.step())
    world.root["spec"]["replicas"] = 14
    world.settle()
    assert world.copies() == {"east": 9, "west": 5}
    world.root["spec"]["replicas"] = 4
    world.settle()
    assert world.copies() == {"east": 2, "west": 2}


def test_a_new_cluster_gets_its_part_and_others_give_it_up_when_that_is_ready() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN))
    world.settle()
    assert world.copies() == {"east": 10}
    world.clusters = clusters(east=Use.OPEN, west=Use.OPEN)
    world.step()
    assert world.copies() == {"east": 10, "west": 5}
    world.settle()
    assert world.copies() == {"east": 5, "west": 5}


def test_the_copies_of_a_removed_cluster_go_at_once() -> None:
    world = World(deployment(10), clusters(east=Use.OPEN, west=Use.OPEN))
    world.settle()
    world.clusters = clusters(east=Use.OPEN, west=Use.LEAVING)
    world.step()
    assert world.copies() == {"east": 10}
