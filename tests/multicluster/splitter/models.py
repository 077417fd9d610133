"""Roots, leaves and clusters as the pure functions of the splitter take them; and clusters that run what leaves say."""

from __future__ import annotations

from typing import Any

from kcp.multicluster.splitter.clusters import Cluster, Use
from kcp.multicluster.splitter.kinds import DEPLOYMENT, SplitKind
from kcp.multicluster.splitter.leaves import Leaf, leaf_of
from kcp.multicluster.splitter.planning import plan
from kcp.multicluster.splitter.policies import Policy
from kcp.multicluster.splitter.roots import Plan, Root
from kcp.multicluster.workloads import rolling_limits

Object = dict[str, Any]


def template(image: str) -> Object:
    """A template with one container."""
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}}


def deployment(replicas: int | None = 10, **spec: Any) -> Object:
    """A root Deployment."""
    copies = {} if replicas is None else {"replicas": replicas}
    full = {**copies, "selector": {"matchLabels": {"app": "web"}}, "template": template("web:1"), **spec}
    meta = {"name": "web", "namespace": "shop", "uid": "root", "generation": 1, "resourceVersion": "1"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": full}


def clusters(**uses: Use) -> dict[str, Cluster]:
    """Clusters by their uses."""
    return {
        name: Cluster(name, use, "" if use is Use.OPEN else f"is {use.name.lower()}", {}, {})
        for name, use in uses.items()
    }


class World:
    """A root, its leaves as the server has them, and the clusters that run them."""

    def __init__(
        self, root: Object, found: dict[str, Cluster], kind: SplitKind = DEPLOYMENT, policy: Policy | None = None
    ) -> None:
        self.root = root
        self.clusters = found
        self.kind = kind
        self.policy = policy or Policy()
        self.leaves: dict[str, Object] = {}
        self.running: dict[str, dict[str, int]] = {}
        """Copies that are available, by cluster and image."""

    @property
    def state(self) -> Root:
        """What the functions take."""
        return Root(self.kind, self.root, list(self.leaves.values()), self.clusters, self.policy, "seed")

    def step(self) -> Plan:
        """Plan, and write the plan to the server."""
        found = plan(self.state)
        for each in (*found.creates, *found.updates):
            name = each["metadata"]["name"]
            generation = self.leaves.get(name, each)["metadata"].get("generation", 0) + 1
            meta = {"uid": name, **each["metadata"], "generation": generation}
            self.leaves[name] = {**each, "metadata": meta}
        for each in found.deletes:
            del self.leaves[each["metadata"]["name"]]
        return found

    def copies(self) -> dict[str, int]:
        """The copies that the leaves want, by cluster."""
        return {leaf.cluster: leaf.wanted for leaf in self.states()}

    def states(self) -> list[Leaf]:
        """The states of the leaves."""
        return [leaf_of(self.kind, self.root, each) for each in self.leaves.values()]

    def report(self, name: str, **counts: int) -> None:
        """Write the status of a leaf, of its present generation."""
        leaf = self.leaves[name]
        leaf["status"] = {**counts, "observedGeneration": leaf["metadata"]["generation"]}

    def run(self, name: str, *, broken: str = "") -> None:
        """Let a cluster do all that a leaf says: its rollout, as far as its limits allow, and its scaling.

        Copies of the image ``broken`` never become available.
        """
        leaf = self.leaves[name]
        wanted, image = leaf["spec"]["replicas"], leaf["spec"]["template"]["spec"]["containers"][0]["image"]
        old = {key: number for key, number in self.running.get(name, {}).items() if key != image}
        if image == broken and old:
            unavailable, _ = rolling_limits(leaf["spec"].get("strategy") or {}, wanted)
            kept = min(sum(old.values()), max(0, wanted - unavailable))
            self.running[name] = {next(iter(old)): kept}
            self.report(
                name, replicas=wanted, updatedReplicas=wanted - kept, availableReplicas=kept, readyReplicas=kept
            )
            return
        available = 0 if image == broken else wanted
        self.running[name] = {image: available}
        self.report(name, replicas=wanted, updatedReplicas=wanted, availableReplicas=available, readyReplicas=available)

    def settle(self) -> None:
        """Step and run until nothing changes."""
        for _ in range(100):
            before = [each.get("status") for each in self.leaves.values()]
            planned = self.step()
            for name in self.leaves:
                self.run(name)
            if not any(planned) and before == [each.get("status") for each in self.leaves.values()]:
                return
        raise AssertionError("the plans do not come to an end")
