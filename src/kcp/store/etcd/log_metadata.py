"""The metadata of a log in etcd: its identity, its offset, and imports and restores that are in progress."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from kcp.store.etcd.client import EtcdClient
from kcp.store.etcd.layout import Layout


class LogReplacedError(Exception):
    """The log below the prefix is no longer the one that this server opened."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(
            f"the log below {layout.start.decode()} in etcd is not the one that this server opened: it has been restored or "
            "moved, or etcd is another; restart this server"
        )


class LogMetadata(NamedTuple):
    """The metadata at etcd's revision ``revision``.

    ``identity`` is a random string that changes when the log is replaced as a whole, and ``identified_at`` etcd's revision of it
    (0: there is no log). ``offset`` is the difference between the log's revisions and etcd's; it changes only together with the
    identity. ``compacted`` is etcd's revision up to which servers have compacted (0: never). ``importing`` and ``restoring``
    describe an operation that has begun and not ended, each with etcd's revision of that record.
    """

    revision: int
    identity: bytes = b""
    identified_at: int = 0
    offset: int = 0
    compacted: int = 0
    importing: tuple[bytes, int] = (b"", 0)
    restoring: tuple[bytes, int] = (b"", 0)

    @property
    def newest(self) -> int:
        """The newest log revision."""
        return self.revision + self.offset


async def read_metadata(client: EtcdClient, layout: Layout, timeout: float) -> LogMetadata:
    """Read the current metadata. Raises as `EtcdClient.repeatedly`."""
    answer = await client.repeatedly("Range", timeout, key=layout.metadata, range_end=layout.metadata_end)
    found = {kv.key: (bytes(kv.value), int(kv.mod_revision)) for kv in answer.kvs}
    identity, identified_at = found.get(layout.identity, (b"", 0))
    return LogMetadata(
        answer.header.revision,
        identity,
        identified_at,
        int(found.get(layout.offset, (b"0", 0))[0]),
        int(found.get(layout.compacted, (b"0", 0))[0]),
        found.get(layout.importing, (b"", 0)),
        found.get(layout.restoring, (b"", 0)),
    )


def new_identity() -> bytes:
    """Make a random identity."""
    return secrets.token_hex(16).encode()
