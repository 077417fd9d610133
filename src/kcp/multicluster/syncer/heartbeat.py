"""The status of the Cluster: a heartbeat, what it syncs, and why it does not sync the rest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from kcp.api.times import now
from kcp.client import Client, ClientError, StatusError
from kcp.multicluster.placement import CLUSTERS, FIELD_MANAGER
from kcp.multicluster.syncer.sources import CopySource
from kcp.multicluster.syncer.statuses import SYNCED, Problem

logger = logging.getLogger(__name__)


def synced_condition(
    stopped: Mapping[str, Problem], incomplete: Iterable[str], before: Mapping[str, Any], *, chosen: bool = True
) -> dict[str, Any]:
    """Return the condition ``Synced`` of a Cluster. ``before`` is the present one; ``chosen``: the resources are known."""
    waiting = sorted(incomplete)
    if not chosen:
        status, reason, message = "False", "Synchronizing", "the resources of both sides are not discovered yet"
    elif stopped:
        status, reason = "False", "ResourcesNotSynced"
        message = "; ".join(f"{name}: {problem}" for name, problem in sorted(stopped.items()))
    elif waiting:
        status, reason, message = "False", "Synchronizing", f"the first lists of {', '.join(waiting)} are not complete"
    else:
        status, reason, message = "True", "Synced", "all resources are synced"
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": SYNCED,
        "status": status,
        "reason": reason,
        "message": message[:_MESSAGE],
        "lastTransitionTime": since or now(),
    }


_MESSAGE: Final = 32_768
"""Characters of the longest message of a condition."""


class Heartbeat:
    """Writes the status of the Cluster, as long as both servers answer."""

    def __init__(
        self,
        upstream: Client,
        copies: CopySource,
        cluster: str,
        report: Callable[[], tuple[list[str], dict[str, Any]]],
        recovered: Callable[[], None],
    ) -> None:
        """``report`` returns the resources that are synced, and the condition; ``recovered`` is called after an outage."""
        self._clusters = upstream.resource(CLUSTERS)
        self._copies = copies
        self._cluster = cluster
        self._report = report
        self._recovered = recovered
        self._wake = asyncio.Event()
        self.is_healthy = False
        """Whether the last heartbeat was written."""

    def wake(self) -> None:
        """Write the status at once."""
        self._wake.set()

    async def run(self, interval: float) -> None:
        """Write the status every ``interval`` seconds, until cancelled."""
        failed = False
        while True:
            self._wake.clear()
            try:
                await self.beat(interval / 2)
                if failed:
                    self._recovered()
                failed = False
            except (StatusError, ClientError) as error:
                self.is_healthy, failed = False, True
                logger.warning("%s: no heartbeat: %s", self._cluster, error)
            try:
                async with asyncio.timeout(interval):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def beat(self, within: float = 0.0) -> None:
        """Check that the cluster answers, or did so ``within`` so many seconds, and write the status.

        Raises StatusError, TransportError.
        """
        await self._copies.answers(within)
        resources, condition = self._report()
        status = {"lastHeartbeatTime": now(), "syncedResources": resources, "conditions": [condition]}
        body = {
            "apiVersion": CLUSTERS.api_version,
            "kind": CLUSTERS.kind,
            "metadata": {"name": self._cluster},
            "status": status,
        }
        await self._clusters.apply(body, field_manager=FIELD_MANAGER, force=True, subresource="status")
        self.is_healthy = True
