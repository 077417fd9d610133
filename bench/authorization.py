"""``python -m bench.authorization``: what a decision of RBAC costs, and the memory of what it is decided by.

    python -m bench.authorization --clusters 100000 --bindings 1000

It fills a log with logical clusters that have a ClusterRole and three bindings of their own, one with many bindings, and one for
each of several users who have many bindings themselves (``--users``), and decides in this process. *remembered* is a decision on
a user, verb, resource and namespace that was decided before; *first* is one that was not; *unread* is the first one in a logical
cluster whose bindings have not been read yet. Times are processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from bench.processes import resident_megabytes
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision, decided
from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.authorization.rbac.default_policy import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, GROUP, ROLE_BINDINGS
from kcp.auth.authorization.rbac.policies import Policies
from kcp.auth.users import User, authenticated
from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Change, Key, Store
from kcp.store.sqlite.store import open_store

_LARGE: Final = LogicalClusterName("large")
_OWN_BINDINGS: Final = 20
"""Bindings of the measured user in the large logical cluster."""
_USERS: Final = (1, 20, 1000, 20_000)
"""Bindings of each user that is alone in a logical cluster."""
_WALKED: Final = 20_000
"""Roles that the decisions on what no role allows walk through, for each of these users."""
_BATCH: Final = 1000
_DECISIONS: Final = 20_000


def tenant(number: int) -> LogicalClusterName:
    """The name of one of the many logical clusters."""
    return LogicalClusterName(f"tenant-{number}")


def _role(name: str, resource: str) -> bytes:
    rules = [{"verbs": ["get", "list"], "apiGroups": ["example.com"], "resources": [resource, f"{resource}/status"]}]
    return orjson.dumps({"metadata": {"resourceVersion": "", "name": name}, "rules": rules})


def _binding(name: str, role: str, user: str) -> bytes:
    reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    subjects = [{"kind": "User", "apiGroup": GROUP, "name": user}]
    return orjson.dumps({"metadata": {"resourceVersion": "", "name": name}, "roleRef": reference, "subjects": subjects})


def _tenants(count: int) -> Iterable[Change]:
    """Logical clusters with a ClusterRole and three bindings."""
    for number in range(count):
        cluster = tenant(number)
        yield Change(Key(CLUSTER_ROLES, cluster, "", "reader"), _role("reader", "widgets"))
        yield Change(Key(CLUSTER_ROLE_BINDINGS, cluster, "", "owner"), _binding("owner", "admin", "owner"))
        for name in ("a", "b"):
            yield Change(Key(ROLE_BINDINGS, cluster, "default", name), _binding(name, "reader", f"user-{name}"))


def _large(bindings: int) -> Iterable[Change]:
    """One logical cluster with many bindings, some of them the measured user's, each to a role of its own."""
    for number in range(bindings):
        mine = number % (bindings // _OWN_BINDINGS) == 0
        role, name = f"role-{number}", f"binding-{number}"
        yield Change(Key(CLUSTER_ROLES, _LARGE, "", role), _role(role, f"widgets{number}"))
        user = "jane" if mine else f"user-{number}"
        yield Change(Key(ROLE_BINDINGS, _LARGE, "default", name), _binding(name, role, user))


def _home(bindings: int) -> LogicalClusterName:
    """The name of the logical cluster of a user with so many bindings."""
    return LogicalClusterName(f"user-with-{bindings}")


def _of_user(bindings: int) -> Iterable[Change]:
    """A logical cluster with one user, who has many bindings in a namespace, each to a role of its own."""
    cluster = _home(bindings)
    for number in range(bindings):
        role, name = f"role-{number}", f"binding-{number}"
        yield Change(Key(CLUSTER_ROLES, cluster, "", role), _role(role, f"widgets{number}"))
        yield Change(Key(ROLE_BINDINGS, cluster, "default", name), _binding(name, role, "jane"))


async def fill(store: Store, changes: Iterable[Change]) -> None:
    """Write changes."""
    batch: list[Change] = []
    for change in changes:
        batch.append(change)
        if len(batch) == _BATCH:
            await store.write(batch)
            batch = []
    await store.write(batch)


def _asked(cluster: LogicalClusterName, resource: str, namespace: str = "default") -> AuthorizationAttributes:
    return AuthorizationAttributes(
        cluster, "get", group="example.com", version="v1", resource=resource, namespace=namespace, name="a"
    )


def _microseconds(decide: Callable[[User, AuthorizationAttributes], Any], user: User, asked: Sequence[Any]) -> float:
    """The mean processor time of a decision. Every decision must be made at once."""
    start = time.process_time()
    for attributes in asked:
        assert type(decide(user, attributes)) is Decision
    return (time.process_time() - start) / len(asked) * 1e6


async def measure(store: Store, clusters: int, bindings: int) -> dict[str, float]:
    """The figures, by what they are."""
    jane = authenticated("jane", groups=("devs", "staff", "oncall"))
    figures: dict[str, float] = {}
    policies = Policies(store)
    authorizer = RBACAuthorizer(policies)
    start = time.process_time()
    decision = await decided(authorizer.decide(jane, _asked(_LARGE, "widgets0")))
    assert decision.allowed, decision
    figures[f"unread, {bindings} bindings (ms)"] = (time.process_time() - start) * 1e3
    step = bindings // _OWN_BINDINGS
    rounds = []
    for number in range(20):
        namespaces = [f"n{number}-{each}" for each in range(500)]
        rounds.append(_microseconds(authorizer.decide, jane, [_asked(_LARGE, "widgets0", each) for each in namespaces]))
    figures["first, refused, no role in the namespace (us)"] = statistics.median(rounds)
    asked = [_asked(_LARGE, f"widgets{number * step}") for number in range(1, _OWN_BINDINGS)]
    asked += [_asked(_LARGE, f"gadgets{number}") for number in range(500)]
    figures[f"first, {_OWN_BINDINGS} roles in the namespace (us)"] = _microseconds(authorizer.decide, jane, asked)
    same = [_asked(_LARGE, f"widgets{step}")] * _DECISIONS
    figures["remembered (us)"] = _microseconds(authorizer.decide, jane, same)
    gc.collect()
    before = resident_megabytes()
    every = [_asked(tenant(number), "widgets") for number in range(clusters)]
    figures[f"unread, one of {clusters} logical clusters (us)"] = _microseconds(authorizer.decide, jane, every)
    gc.collect()
    figures["memory after all of them (MB)"] = resident_megabytes() - before
    figures["remembered, one of the last 1,000 of them (us)"] = _microseconds(
        authorizer.decide, jane, every[-1000:] * 10
    )
    return figures


async def measure_user(store: Store, bindings: int) -> dict[str, float]:
    """The figures of a user with so many bindings, by what they are. Every role is walked through: none allows what is asked."""
    jane = authenticated("jane", groups=("devs", "staff", "oncall"))
    authorizer, cluster = RBACAuthorizer(Policies(store)), _home(bindings)
    start = time.process_time()
    decision = await decided(authorizer.decide(jane, _asked(cluster, "gadgets")))
    assert not decision.allowed, decision
    unread = time.process_time() - start
    count = max(3, _WALKED // bindings)
    start = time.process_time()
    for number in range(count):
        await decided(authorizer.decide(jane, _asked(cluster, f"gadgets{number}")))
    first = (time.process_time() - start) / count
    allowed = await decided(authorizer.decide(jane, _asked(cluster, f"widgets{bindings - 1}")))
    assert allowed.allowed, allowed
    same = [_asked(cluster, f"widgets{bindings - 1}")] * _DECISIONS
    noun = "binding" if bindings == 1 else "bindings"
    return {
        f"user with {bindings} {noun}: unread (us)": unread * 1e6,
        f"user with {bindings} {noun}: first (us)": first * 1e6,
        f"user with {bindings} {noun}: remembered (us)": _microseconds(authorizer.decide, jane, same),
    }


async def _run(clusters: int, bindings: int, users: Sequence[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="kcp-bench-") as folder:
        store = open_store(Path(folder) / "kcp.db", durability="relaxed")
        try:
            await fill(store, _tenants(clusters))
            await fill(store, _large(bindings))
            for each in users:
                await fill(store, _of_user(each))
            await asyncio.sleep(0)
            _print(await measure(store, clusters, bindings))
            for each in users:
                _print(await measure_user(store, each))
        finally:
            await store.close()


def _print(figures: dict[str, float]) -> None:
    for label, figure in figures.items():
        print(f"{label:<60}{figure:>12,.2f}", flush=True)


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, default=100_000, help="logical clusters with bindings of their own")
    parser.add_argument("--bindings", type=int, default=1000, help="bindings of the large logical cluster")
    parser.add_argument(
        "--users", type=int, nargs="*", default=_USERS, help="bindings of users who are alone in theirs"
    )
    options = parser.parse_args()
    uvloop.run(_run(options.clusters, options.bindings, options.users))


if __name__ == "__main__":
    main()
