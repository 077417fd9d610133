"""A server with three tenants: each user may do everything in the logical cluster of the same name."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, Decision
from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.users import User
from kcp.registry.admission.chain import AdmissionRequest
from kcp.server.process.parts import Parts
from kcp.server.requests.fairness.dispatcher import Dispatcher
from tests.support.objects import config_map
from tests.support.running_server import Answer, RunningServer
from tests.support.waiting import PATIENCE, wait_until

TENANTS = ("flood", "quiet", "third")
MOST_CONNECTIONS = 64


class Owners(RBACAuthorizer):
    """Allows each user everything in one logical cluster."""

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision | Awaitable[Decision]:
        return ALLOWED if user.name == attributes.cluster else super().decide(user, attributes)


class Gate:
    """An admission plugin at which the first write waits, or all of one user; it notes the users in the order of the writes."""

    def __init__(self) -> None:
        self.holds_all_of = ""
        self.entered = threading.Event()
        self._opened: Future[None] = Future()
        self.order: list[str] = []

    def handles(self, *_: object) -> bool:
        return True

    async def mutate(self, request: AdmissionRequest) -> None: ...

    async def validate(self, request: AdmissionRequest) -> None:
        self.order.append(request.context.user.name)
        if request.context.user.name == self.holds_all_of if self.holds_all_of else not self.entered.is_set():
            self.entered.set()
            # not in a thread: the server has few, and the writes that wait would take them from the others
            await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._opened)), PATIENCE)

    def open(self) -> None:
        """Let the writes through that wait, and all that come."""
        if not self._opened.done():
            self._opened.set_result(None)


class Tenants:
    """A server, and requests of its tenants that may wait."""

    def __init__(self, server: RunningServer, gate: Gate, pool: ThreadPoolExecutor) -> None:
        self.server = server
        self.gate = gate
        self._pool = pool
        self._numbers = iter(range(1_000_000))

    @property
    def dispatcher(self) -> Dispatcher:
        composition = self.server.process.composition
        assert composition is not None
        assert composition.dispatcher is not None
        return composition.dispatcher

    def create(self, tenant: str) -> Future[Answer]:
        """Begin to create an object."""
        path = f"/clusters/{tenant}/api/v1/namespaces/default/configmaps"
        body = config_map(f"object-{next(self._numbers)}")
        return self._pool.submit(self.server.post, path, body, token=f"{tenant}-token")

    def get(self, path: str, tenant: str) -> Answer:
        return self.server.get(f"/clusters/{tenant}{path}", token=f"{tenant}-token")

    def wait_for_queued(self, count: int) -> None:
        wait_until(lambda: self.dispatcher.queues.queued == count, f"{count} requests wait")


Start = Callable[..., Tenants]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a server with flags, and stops it after the test."""
    running: list[Any] = []

    @contextmanager
    def started(**choices: Any) -> Iterator[Tenants]:
        choices = {"request_timeout": PATIENCE, "max_queue_wait": PATIENCE, **choices}
        tokens = tmp_path / "tenants.csv"
        tokens.write_text("".join(f"{tenant}-token,{tenant},{tenant}\n" for tenant in TENANTS))
        gate = Gate()
        parts = Parts(
            authorizers=lambda environment: [Owners(environment.policies)], admission_plugins=lambda _: [gate]
        )
        server = RunningServer(tmp_path / "server", parts, token_auth_file=tokens, **choices)
        try:
            with ThreadPoolExecutor(MOST_CONNECTIONS) as pool:
                yield Tenants(server, gate, pool)
                gate.open()
        finally:
            gate.open()
            server.stop()

    def start(**choices: Any) -> Tenants:
        manager = started(**choices)
        running.append(manager)
        return manager.__enter__()

    yield start
    for manager in running:
        manager.__exit__(None, None, None)
