"""What etcd keeps of a log beside its keys: which log it is, and what is being done to it as a whole."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from kcp.store.etcd.client import Client
from kcp.store.etcd.layout import Layout


class LogReplacedError(Exception):
    """What lies below the prefix is not the log any more that this server opened."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(
            f"the log below {layout.start.decode()} in etcd is not the one that this server opened: it has been restored or "
            "moved, or etcd is another; restart this server"
        )


class Facts(NamedTuple):
    """The facts at etcd's revision ``revision``.

    ``identity`` is a random word that changes when the log is replaced as a whole, ``identified_at`` etcd's revision of it (0:
    there is no log). ``offset`` is what the log's revisions are ahead of etcd's: it is changed only together with the identity,
    so that who knows the one knows the other. ``compacted`` is etcd's revision up to which servers have compacted (0: never).
    ``importing`` and ``restoring`` say what was begun and has not ended, each with etcd's revision of saying so.
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
        """The log's newest revision, as clients know it."""
        return self.revision + self.offset


async def read_facts(client: Client, layout: Layout, timeout: float) -> Facts:
    """The facts of now. Raises as `Client.repeatedly`."""
    answer = await client.repeatedly("Range", timeout, key=layout.facts, range_end=layout.facts_end)
    found = {kv.key: (bytes(kv.value), int(kv.mod_revision)) for kv in answer.kvs}
    identity, identified_at = found.get(layout.identity, (b"", 0))
    return Facts(
        answer.header.revision,
        identity,
        identified_at,
        int(found.get(layout.offset, (b"0", 0))[0]),
        int(found.get(layout.compacted, (b"0", 0))[0]),
        found.get(layout.importing, (b"", 0)),
        found.get(layout.restoring, (b"", 0)),
    )


def new_identity() -> bytes:
    """A word for a log that nothing else has."""
    return secrets.token_hex(16).encode()
