"""Opening the log in etcd: find or create it, bring the local replica up to date, join as a server."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from kcp.store.contract import StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.access import LogOptions
from kcp.store.etcd.client import EtcdClient, RefusedError, UnknownOutcomeError
from kcp.store.etcd.feed import Feed
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.log_metadata import LogMetadata, LogReplacedError, new_identity, read_metadata
from kcp.store.etcd.open_log import OpenLog
from kcp.store.etcd.replica import Replica, open_replica, origin_of, replica_file
from kcp.store.etcd.session import Session
from kcp.store.etcd.store import OPEN_SECONDS, EtcdStore
from kcp.store.etcd.versions import check_versions

logger: Final = logging.getLogger(__name__)

_VERSION_SECONDS: Final = 1.0


async def open_store(options: LogOptions, folder: Path) -> EtcdStore:
    """Connect to etcd, bring the replica in ``folder`` up to date, and start following.

    Raises StoreUnavailableError when etcd cannot be reached or refuses, StoreLockedError, EndpointError.
    """
    client = EtcdClient(options.connection)
    layout = Layout(options.prefix)
    session = Session(client, layout)
    replica: Replica | None = None
    try:
        metadata = await _find_or_create_log(client, layout)
        if (warning := check_versions(await client.versions(_VERSION_SECONDS))) is not None:
            logger.warning("%s", warning)
        origin = origin_of(metadata.identity)
        file = replica_file(folder, layout)
        replica = open_replica(file, origin, cache_kilobytes=options.cache_kilobytes, buffer=options.buffer)
        feed = Feed(client, layout, replica, origin, metadata)
        if replica.is_complete and not await feed.can_follow(metadata):
            # comparing does not help: if etcd was restored from a backup, the replica may be newer than etcd
            logger.warning(
                "etcd is older than the local replica, or has compacted what came after it; it is fetched again"
            )
            await replica.close()
            file.unlink()
            replica = open_replica(file, origin, cache_kilobytes=options.cache_kilobytes, buffer=options.buffer)
            feed = Feed(client, layout, replica, origin, metadata)
        if not replica.is_complete:
            await feed.load()
        await session.open(OPEN_SECONDS)
        store = EtcdStore(OpenLog(client, layout, metadata, session, replica), feed)
        await store.start()
    except BaseException as error:
        await session.close()
        if replica is not None:
            await replica.close()
        await client.close()
        if isinstance(error, RefusedError | UnknownOutcomeError):
            raise StoreUnavailableError(f"etcd refuses: {error}") from error
        if isinstance(error, LogReplacedError):
            raise StoreUnavailableError(str(error)) from error
        raise
    return store


async def _find_or_create_log(client: EtcdClient, layout: Layout) -> LogMetadata:
    """Return the metadata of the log below the prefix, which is created if absent.

    Raises StoreUnavailableError, RefusedError.
    """
    await client.repeatedly(  # idempotent: it only acts if there is no log
        "Txn",
        OPEN_SECONDS,
        compare=[messages.unchanged(layout.identity, 0), messages.unchanged(layout.restoring, 0)],
        success=[messages.put(layout.identity, new_identity())],
    )
    metadata = await read_metadata(client, layout, OPEN_SECONDS)
    if not metadata.identified_at:
        raise StoreUnavailableError(
            f"a restore below {layout.start.decode()} has begun and not ended; wait for it, or run it again"
        )
    if metadata.importing[1]:
        logger.warning(
            "an import has begun and not ended (unless it is running, run it again): %r", metadata.importing[0]
        )
    return metadata
