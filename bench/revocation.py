"""``python -m bench.revocation``: how long what was revoked on one server still works on the other servers of the same etcd.

    python -m bench.revocation                      three servers on three members of etcd, 20 rounds
    python -m bench.revocation --writers 8          while as many connections write to the first server

A round changes one thing through the first server, and asks each of the others again and again. Times begin with the answer to
the change: *in force* is when the slowest of the others has given its first answer by the new state, which includes the time of
that request; *last by the old* is when any of them gave its last answer by the old state, 0 if there was none.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import math
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop

from bench.client import Connection, Peer
from bench.load import fresh_name
from bench.processes import kcp_server
from devtools.etcd import EtcdCluster

_CORE: Final = "/api/v1/namespaces/default"
_BINDINGS: Final = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"
_WHO_AM_I: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_REVIEW: Final = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
_TOKEN: Final = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
_PAUSE: Final = 0.001
"""Seconds between two requests to the same server: the servers share the machine."""
_LONGEST: Final = 30.0

Met = Callable[[], Awaitable[bool]]


class Times(NamedTuple):
    """Milliseconds of a round: to the first answer by the new state, and to the last by the old one."""

    in_force: float
    old: float


@dataclass
class Cluster:
    """One logical cluster, through the administrator's connection to each server; the first is the one that is written to."""

    connections: Sequence[Connection]

    async def write(self, method: str, path: str, body: Any = None, *, server: int = 0) -> Any:
        """Send one request of the administrator. Raises RuntimeError if it fails."""
        status, answer = await self.connections[server].request(method, path, body)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return json.loads(answer)

    async def create(self, plural: str, name: str) -> None:
        """Create an object of the core group."""
        await self.write("POST", f"{_CORE}/{plural}", {"metadata": {"name": name}})

    async def token(self, account: str, *, secret: str = "", server: int = 0) -> str:
        """Return a new token of an account, bound to a Secret if one is named."""
        reference = {"kind": "Secret", "apiVersion": "v1", "name": secret}
        spec = {"boundObjectRef": reference} if secret else {}
        path = f"{_CORE}/serviceaccounts/{account}/token"
        answer = await self.write("POST", path, {**_TOKEN, "spec": spec}, server=server)
        token: str = answer["status"]["token"]
        return token

    async def slowest(self, conditions: Sequence[Met]) -> Times:
        """Ask until each of the conditions, which are about one server each, holds."""
        start = time.perf_counter()

        async def until(met: Met) -> Times:
            old = 0.0
            while not await met():
                old = time.perf_counter() - start
                if old > _LONGEST:
                    raise RuntimeError(f"not in force after {_LONGEST:g} s")
                await asyncio.sleep(_PAUSE)
            return Times((time.perf_counter() - start) * 1000, old * 1000)

        found = await asyncio.gather(*map(until, conditions))
        return Times(max(each.in_force for each in found), max(each.old for each in found))

    @contextlib.asynccontextmanager
    async def answering(self, token: str, method: str, path: str, body: Any, status: int) -> AsyncIterator[list[Met]]:
        """Yield a condition for each other server: it answers the holder of a token with this status."""
        async with contextlib.AsyncExitStack() as stack:
            peers = [each.peer for each in self.connections[1:]]
            opened = [await stack.enter_async_context(Connection(Peer(peer.name, peer.url, token))) for peer in peers]

            def condition(connection: Connection) -> Met:
                async def met() -> bool:
                    return (await connection.request(method, path, body))[0] == status

                return met

            yield [condition(each) for each in opened]

    async def refused(self, token: str, revoke: Callable[[], Awaitable[Any]]) -> Times:
        """Revoke a token that all accept; return the times until all refuse it."""
        async with self.answering(token, "POST", _WHO_AM_I, _REVIEW, 201) as accepted:
            await self.slowest(accepted)
        async with self.answering(token, "POST", _WHO_AM_I, _REVIEW, 401) as refused:
            await revoke()
            return await self.slowest(refused)


async def account_deleted(cluster: Cluster) -> Times:
    """Delete the account of a token."""
    name = fresh_name("a")
    await cluster.create("serviceaccounts", name)
    token = await cluster.token(name)
    return await cluster.refused(token, lambda: cluster.write("DELETE", f"{_CORE}/serviceaccounts/{name}"))


async def secret_deleted(cluster: Cluster) -> Times:
    """Delete the Secret that a token is bound to."""
    name = fresh_name("s")
    await cluster.create("secrets", name)
    token = await cluster.token("default", secret=name)
    return await cluster.refused(token, lambda: cluster.write("DELETE", f"{_CORE}/secrets/{name}"))


async def binding_removed(cluster: Cluster) -> Times:
    """Remove the RoleBinding that lets an account list ConfigMaps."""
    name = fresh_name("b")
    await cluster.create("serviceaccounts", name)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    await cluster.write("POST", _BINDINGS, {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
    token = await cluster.token(name)
    path = f"{_CORE}/configmaps?limit=1"
    async with cluster.answering(token, "GET", path, None, 200) as allowed:
        await cluster.slowest(allowed)
    async with cluster.answering(token, "GET", path, None, 403) as forbidden:
        await cluster.write("DELETE", f"{_BINDINGS}/{name}")
        return await cluster.slowest(forbidden)


async def _rotate(cluster: Cluster) -> None:
    first = cluster.connections[0].peer
    async with Connection(Peer(first.name, first.url.partition("/clusters/")[0], first.token)) as connection:
        status, answer = await connection.request("POST", "/service-account-keys?overlapSeconds=0")
        if status != 200:
            raise RuntimeError(f"the rotation gave {status}: {answer[:300]!r}")


async def key_rotated(cluster: Cluster) -> Times:
    """Rotate the key without an overlap: tokens of the older key end."""
    return await cluster.refused(await cluster.token("default"), lambda: _rotate(cluster))


async def key_signs(cluster: Cluster) -> Times:
    """Rotate the key: the other servers sign with the new one."""

    def key_of(token: str) -> str:
        head = token.partition(".")[0]
        found: str = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]
        return found

    def signs(server: int, key: str) -> Met:
        async def met() -> bool:
            return key_of(await cluster.token("default", server=server)) == key

        return met

    await _rotate(cluster)
    key = key_of(await cluster.token("default"))
    return await cluster.slowest([signs(number, key) for number in range(1, len(cluster.connections))])


STEPS: Final = {
    "token refused, its account deleted": account_deleted,
    "token refused, its Secret deleted": secret_deleted,
    "request forbidden, its binding removed": binding_removed,
    "token refused, its key rotated": key_rotated,
    "new key signs on the others": key_signs,
}


async def _write(peer: Peer) -> None:
    """Create ConfigMaps without end."""
    async with Connection(peer) as connection:
        while True:
            name = fresh_name("c")
            status, _ = await connection.request("POST", f"{_CORE}/configmaps", {"metadata": {"name": name}})
            if status != 201:
                raise RuntimeError(f"{peer.name}: a create gave {status}")


async def measure(peers: Sequence[Peer], rounds: int, writers: int) -> dict[str, list[Times]]:
    """Return the times of each round, by step; each step has a logical cluster of its own."""
    figures: dict[str, list[Times]] = {}
    busy = [asyncio.create_task(_write(peers[0])) for _ in range(writers)]
    try:
        for step, run in STEPS.items():
            name = fresh_name("revocation")
            async with contextlib.AsyncExitStack() as stack:
                urls = [Peer(each.name, f"{each.url}/clusters/{name}", each.token) for each in peers]
                opened = [await stack.enter_async_context(Connection(each)) for each in urls]
                figures[step] = [await run(Cluster(opened)) for _ in range(rounds)]
            for failed in (each for each in busy if each.done()):
                failed.result()
    finally:
        for each in busy:
            each.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
    return figures


def row(step: str, figures: Sequence[Times]) -> str:
    """A line of the table: median, 99th percentile (nearest rank) and maximum of both times."""
    line = f"{step:40}"
    for ordered in (sorted(each.in_force for each in figures), sorted(each.old for each in figures)):
        percentile = ordered[math.ceil(0.99 * len(ordered)) - 1]
        line += "".join(f"{figure:9.1f}" for figure in (statistics.median(ordered), percentile, ordered[-1]))
    return line


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.revocation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=int, default=3, help="kcp servers, at least 2")
    parser.add_argument("--members", type=int, default=3, choices=(1, 3), help="members of etcd")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each step")
    parser.add_argument("--writers", type=int, default=0, help="connections that create ConfigMaps meanwhile")
    options = parser.parse_args()
    if options.servers < 2:
        parser.error("--servers must be at least 2")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kcp-bench-etcd-")))
        etcd = stack.enter_context(EtcdCluster(folder, options.members, durable=True))
        arguments = ["--etcd-servers", ",".join(etcd.urls)]
        servers = [stack.enter_context(kcp_server(arguments)) for _ in range(options.servers)]
        figures = uvloop.run(measure([each.peer for each in servers], options.rounds, options.writers))
    print(f"{'milliseconds on the other servers':40}{'in force':>9}{'':18}{'last by the old':>18}")
    print(" " * 40 + "".join(f"{title:>9}" for title in ("p50", "p99", "max") * 2))
    for step, found in figures.items():
        print(row(step, found))


if __name__ == "__main__":
    main()
