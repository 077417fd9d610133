"""A new template reaches the leaves so that the limits of the root's strategy hold over all clusters together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kcp.multicluster.splitter.clusters import Use
from kcp.multicluster.splitter.kinds import STATEFUL_SET
from kcp.multicluster.workloads import rolling_limits
from tests.multicluster.splitter.models import World, clusters, deployment, template

QUANTITIES = st.one_of(st.integers(0, 6), st.integers(0, 100).map(lambda percent: f"{percent}%"))
NAMES = ["a", "b", "c", "d"]


def rolling(unavailable: int | str, surge: int | str) -> dict[str, object]:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}


def allowed(world: World) -> tuple[int, int]:
    """The copies that may be unavailable, and those that may exist, by the strategies of the leaves that roll out."""
    unavailable = surge = 0
    for leaf in world.states():
        if leaf.template and not leaf.complete:
            own, more = rolling_limits(leaf.object["spec"]["strategy"], leaf.wanted)
            unavailable += max(own, leaf.unavailable)
            surge += more
        else:
            unavailable += leaf.unavailable
    return unavailable, surge


@given(st.integers(1, 30), QUANTITIES, QUANTITIES, st.integers(1, 4), st.data())
def test_the_limits_of_the_strategy_hold_over_all_clusters(
    replicas: int, unavailable: int | str, surge: int | str, number: int, data: st.DataObject
) -> None:
    strategy = rolling(unavailable, surge)
    world = World(deployment(replicas, strategy=strategy), clusters(**dict.fromkeys(NAMES[:number], Use.OPEN)))
    world.settle()
    world.root["spec"] = {**world.root["spec"], "template": template("web:2")}
    limits = rolling_limits(strategy, replicas)
    for _ in range(200):
        world.step()
        used = allowed(world)
        assert used[0] <= limits[0]
        assert used[1] <= limits[1]
        waiting = [
            name
            for name, leaf in world.leaves.items()
            if leaf["metadata"]["generation"] != leaf["status"]["observedGeneration"]
        ]
        if not waiting:
            break
        world.run(data.draw(st.sampled_from(sorted(waiting))))
    assert all(leaf.template and leaf.complete for leaf in world.states())


def begin_broken_rollout(world: World, steps: int) -> None:
    """Roll out a template whose Pods never become ready, for a number of steps."""
    world.root["spec"] = {**world.root["spec"], "template": template("web:broken")}
    for _ in range(steps):
        world.step()
        for name in world.leaves:
            world.run(name, broken="web:broken")


def test_a_template_that_fails_stays_where_it_fails() -> None:
    world = World(deployment(6, strategy=rolling(1, 0)), clusters(a=Use.OPEN, b=Use.OPEN, c=Use.OPEN))
    world.settle()
    begin_broken_rollout(world, steps=10)
    assert sorted(leaf.template for leaf in world.states()) == [False, False, True]
    assert sum(leaf.available for leaf in world.states()) == 5
    world.root["spec"] = {**world.root["spec"], "template": template("web:3")}
    world.settle()
    assert all(leaf.complete for leaf in world.states())


def test_all_copies_are_replaced_at_once_where_the_strategy_says_so() -> None:
    world = World(deployment(6, strategy={"type": "Recreate"}), clusters(a=Use.OPEN, b=Use.OPEN))
    world.settle()
    world.root["spec"] = {**world.root["spec"], "template": template("web:2")}
    world.step()
    assert all(leaf.template for leaf in world.states())


def strategies(world: World) -> list[object]:
    """The strategies of the leaves."""
    return [leaf.object["spec"]["strategy"] for leaf in world.states()]


def test_a_changed_strategy_reaches_leaves_that_roll_nothing_out() -> None:
    world = World(deployment(6, strategy=rolling(1, 0)), clusters(a=Use.OPEN, b=Use.OPEN))
    world.settle()
    for strategy in ({"type": "Recreate"}, rolling("50%", 2)):
        world.root["spec"] = {**world.root["spec"], "strategy": strategy}
        assert len(world.step().updates) == 2
        assert strategies(world) == [strategy, strategy]
        world.settle()
        assert not any(world.step())


def test_a_changed_strategy_reaches_a_rollout_that_is_under_way() -> None:
    """Its limits hold over all clusters at once: the rollout gets what the others leave."""
    world = World(deployment(6, strategy=rolling(1, 0)), clusters(a=Use.OPEN, b=Use.OPEN, c=Use.OPEN))
    world.settle()
    begin_broken_rollout(world, steps=3)
    assert allowed(world) == (1, 0)
    world.root["spec"] = {**world.root["spec"], "strategy": rolling(2, 1)}
    world.step()
    assert allowed(world) == (2, 1)
    world.root["spec"] = {**world.root["spec"], "strategy": rolling(1, 0)}
    world.step()
    assert allowed(world) == (1, 0)
    assert sorted(leaf.template for leaf in world.states()) == [False, False, True]


def test_the_partition_of_a_stateful_set_reaches_its_leaves() -> None:
    root = {**deployment(4), "kind": "StatefulSet"}
    world = World(root, clusters(a=Use.OPEN, b=Use.OPEN), STATEFUL_SET)
    world.settle()
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    world.root["spec"] = {**world.root["spec"], "updateStrategy": strategy}
    world.settle()
    assert [leaf.object["spec"]["updateStrategy"] for leaf in world.states()] == [strategy, strategy]


def test_a_paused_deployment_is_scaled_but_keeps_its_template() -> None:
    world = World(deployment(6), clusters(a=Use.OPEN, b=Use.OPEN))
    world.settle()
    world.root["spec"] = {**world.root["spec"], "template": template("web:2"), "paused": True, "replicas": 8}
    world.settle()
    assert world.copies() == {"a": 4, "b": 4}
    assert not any(leaf.template for leaf in world.states())


def test_stateful_sets_are_updated_one_after_the_other() -> None:
    root = {**deployment(6), "kind": "StatefulSet"}
    root["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    world = World(root, clusters(a=Use.OPEN, b=Use.OPEN), STATEFUL_SET)
    world.settle()
    world.root["spec"] = {**world.root["spec"], "template": template("web:2")}
    world.step()
    assert sorted(leaf.template for leaf in world.states()) == [False, True]
    world.settle()
    assert all(leaf.complete for leaf in world.states())
