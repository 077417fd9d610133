"""Leader election: of several processes, at most one leads at a time. Follows client-go's ``leaderelection`` on a Lease.

A candidate acquires the Lease when it has no holder, or when the holder has not renewed it for the lease duration. Each candidate
measures that time with its own monotonic clock, from the moment at which it observed the last change, so clock skew has no
effect. A leader that cannot renew the Lease within the renew deadline stops leading before another candidate can acquire it. A
lease cannot stop a request that a former leader has sent already: writes still need resource versions.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from kcp.api.times import micro_time
from kcp.client.client import Client
from kcp.client.errors import AlreadyExistsError, ClientError, ConflictError, NotFoundError, StatusError
from kcp.client.objects import Object
from kcp.client.resources import APIResource

LEASES: Final = APIResource("coordination.k8s.io", "v1", "leases", "Lease")
_JITTER: Final = 1.2

logger = logging.getLogger(__name__)


class LeadershipLostError(ClientError):
    """The Lease was not renewed in time, or another candidate took it."""


class LeaderElector:
    """A candidate for one Lease. ``identity`` must differ from that of every other candidate."""

    def __init__(
        self,
        client: Client,
        name: str,
        identity: str,
        *,
        namespace: str = "default",
        lease_duration: float = 15.0,
        renew_deadline: float = 10.0,
        retry_period: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Times are in seconds. ``retry_period`` is the pause between attempts.

        Raises ValueError where the times do not let a leader renew before the Lease expires.
        """
        if not lease_duration > renew_deadline > retry_period * _JITTER > 0:
            raise ValueError("lease_duration must exceed renew_deadline, which must exceed 1.2 times retry_period")
        if not identity:
            raise ValueError("identity must not be empty")
        self._leases = client.resource(LEASES, namespace)
        self._name = name
        self._identity = identity
        self._duration = math.ceil(lease_duration)
        self._renew_deadline = renew_deadline
        self._retry_period = retry_period
        self._clock = clock
        self._observed: Object | None = None
        self._observed_at = 0.0
        self._renewed_at = -math.inf

    @property
    def leader(self) -> str:
        """The identity of the last observed leader; empty if the Lease has no holder."""
        return str(self._spec().get("holderIdentity") or "")

    @property
    def is_leader(self) -> bool:
        """Whether this candidate holds the Lease and has renewed it within the renew deadline."""
        return self.leader == self._identity and self._clock() - self._renewed_at < self._renew_deadline

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Acquire the Lease, run ``lead`` and renew the Lease until ``lead`` has ended, then release it.

        ``lead`` is cancelled when the Lease is lost, or when `run` is cancelled: then the Lease is renewed until ``lead`` has
        ended, so that no other candidate leads meanwhile. Raises LeadershipLostError, and any exception of ``lead``.
        """
        await self._acquire()
        logger.info("%s: %s leads", self._name, self._identity)
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.create_task(self._renew())
        try:
            await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
            if not leading.done():
                await renewing  # raises LeadershipLostError
            await leading
        finally:
            try:
                leading.cancel()
                await asyncio.gather(leading, return_exceptions=True)
            finally:
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
                await self._release()

    async def _acquire(self) -> None:
        waiting_for = ""
        while True:
            try:
                async with asyncio.timeout(self._renew_deadline):
                    if await self._try():
                        return
                if self.leader != waiting_for:
                    waiting_for = self.leader
                    logger.info("%s: %s leads: %s waits", self._name, waiting_for, self._identity)
            except (AlreadyExistsError, ConflictError):
                pass  # another candidate acquired it first
            except (StatusError, ClientError, TimeoutError) as error:
                logger.warning("%s: the lease cannot be acquired: %s", self._name, str(error) or "no answer in time")
            await asyncio.sleep(self._retry_period * random.uniform(1.0, _JITTER))  # noqa: S311 - no secret

    async def _renew(self) -> None:
        """Renew the Lease repeatedly. Raises LeadershipLostError at the renew deadline, or when another candidate holds it."""
        while True:
            await asyncio.sleep(self._retry_period)
            left = self._renewed_at + self._renew_deadline - self._clock()
            renewed = False
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    renewed = await self._try()
            except (StatusError, ClientError, TimeoutError) as error:
                logger.warning("%s: renewing the lease failed: %s", self._name, str(error) or "no answer in time")
            if not renewed and self.leader not in ("", self._identity):
                raise LeadershipLostError(f"{self._name}: {self.leader} has taken the lease")
            if self._clock() - self._renewed_at >= self._renew_deadline:
                raise LeadershipLostError(f"{self._name}: the lease was not renewed within {self._renew_deadline:g} s")

    async def _try(self) -> bool:
        """Acquire or renew the Lease. Returns whether this candidate holds it."""
        started = self._clock()
        lease = await self._read()
        if lease is None:
            body = {"metadata": {"name": self._name}, "spec": self._wanted({})}
            self._observe(await self._leases.create(body))
        else:
            self._observe(lease)
            if self.leader not in ("", self._identity) and self._clock() < self._observed_at + self._promised():
                return False
            self._observe(await self._leases.replace({**lease, "spec": self._wanted(lease.get("spec") or {})}))
        self._renewed_at = started
        return True

    async def _read(self) -> Object | None:
        try:
            return await self._leases.get(self._name)
        except NotFoundError:
            return None

    def _observe(self, lease: Object) -> None:
        if self._observed is None or lease.get("spec") != self._observed.get("spec"):
            self._observed_at = self._clock()
        self._observed = lease

    def _spec(self) -> dict[str, Any]:
        found = (self._observed or {}).get("spec")
        return found if isinstance(found, dict) else {}

    def _promised(self) -> float:
        seconds = self._spec().get("leaseDurationSeconds")
        return seconds if isinstance(seconds, int) else self._duration

    def _wanted(self, spec: dict[str, Any]) -> dict[str, Any]:
        now = micro_time()
        wanted = {**spec, "holderIdentity": self._identity, "leaseDurationSeconds": self._duration, "renewTime": now}
        if spec.get("holderIdentity") != self._identity:
            wanted["acquireTime"] = now
            wanted["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1 if spec else 0
        return wanted

    async def _release(self) -> None:
        """Release the Lease, so that the next leader does not wait until it expires."""
        lease = self._observed
        try:
            async with asyncio.timeout(self._renew_deadline):
                while lease is not None and self.leader == self._identity:
                    spec = {**self._spec(), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time()}
                    try:
                        self._observe(await self._leases.replace({**lease, "spec": spec}))
                    except ConflictError:  # with a renewal that was cancelled before its answer came
                        if (lease := await self._read()) is not None:
                            self._observe(lease)
        except (StatusError, ClientError, TimeoutError) as error:
            logger.info("%s: the lease was not released: %s", self._name, str(error) or "no answer in time")
        self._renewed_at = -math.inf
