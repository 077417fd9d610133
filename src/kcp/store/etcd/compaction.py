"""Compaction of a log that servers share: one server compacts etcd, and all of them their replicas."""

from __future__ import annotations

import contextlib
import logging
from typing import Final

from kcp.store.contract import StoreClosedError, StoreUnavailableError
from kcp.store.etcd.client import CompactedRevisionError, NoSpaceError, RefusedError
from kcp.store.etcd.open_log import OpenLog

logger: Final = logging.getLogger(__name__)

_SECONDS: Final = 12.0


class ClusterCompaction:
    """Compacts etcd, and the replica."""

    def __init__(self, open_log: OpenLog) -> None:
        self._log = open_log
        self._forbidden = False

    async def run(self, revision: int) -> None:
        """Compact etcd and this server's replica up to a log revision. Raises StoreUnavailableError, StoreClosedError."""
        client, layout, replica = self._log.client, self._log.layout, self._log.replica
        target = min(revision, replica.revision)
        raw = target - self._log.offset
        try:
            found = await client.repeatedly("Range", _SECONDS, key=layout.compacted)
            if raw <= (int(found.kvs[0].value) if found.kvs else 0):
                return
            with contextlib.suppress(NoSpaceError):  # compacting frees space; the other servers see the next compaction
                await client.repeatedly("Put", _SECONDS, key=layout.compacted, value=str(raw).encode())
            await client.repeatedly("Compact", _SECONDS, revision=raw)
        except CompactedRevisionError:
            logger.debug("etcd had compacted revision %d already", raw)
        except RefusedError as error:
            if error.code != "PERMISSION_DENIED":
                raise StoreUnavailableError(f"etcd refuses to compact: {error}") from error
            self._leave_to_etcd()
        await replica.compact(target)

    def _leave_to_etcd(self) -> None:
        """Warn once. Since 3.5.28 and 3.6.9 only etcd's administrators may compact; replicas are compacted all the same."""
        if not self._forbidden:
            self._forbidden = True
            logger.warning(
                "etcd does not allow this user to compact it (that takes the role root), and it grows unless its members compact "
                "it themselves: start them with --auto-compaction-retention=1h"
            )

    async def follow(self, revision: int) -> None:
        """Compact the replica up to a revision that some server has compacted, once the replica has applied it."""
        try:
            await self._log.wait_until_applied(revision)
            await self._log.replica.compact(revision)
        except StoreClosedError:
            return
        except StoreUnavailableError as error:
            logger.warning("the local replica cannot be compacted: %s", error)
