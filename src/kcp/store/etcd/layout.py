"""Where things lie in etcd.

Below the prefix: ``o/`` the objects, ``n`` the note that every write puts beside its changes, ``m/`` `facts` about the log,
``s/`` the servers that live, ``l/`` who leads. A key's parts are joined by slashes, with slashes and percent signs
in them escaped, so that no part can reach into another whatever it holds.
"""

from __future__ import annotations

from typing import Final

from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Key
from kcp.store.etcd import messages

_PARTS: Final = 4


class Layout:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        root = f"/{prefix.strip('/')}/" if prefix.strip("/") else "/"
        self.start = root.encode()
        self.end = end_of(self.start)
        self.objects = self.start + b"o/"
        self.objects_end = end_of(self.objects)
        self.note = self.start + b"n"
        self.facts = self.start + b"m/"
        self.facts_end = end_of(self.facts)
        self.identity = self.facts + b"identity"
        self.offset = self.facts + b"offset"
        self.compacted = self.facts + b"compacted"
        self.importing = self.facts + b"importing"
        self.restoring = self.facts + b"restoring"
        self.servers = self.start + b"s/"
        self.servers_end = end_of(self.servers)
        self.leaders = self.start + b"l/"

    def server(self, name: str) -> bytes:
        """The key that lives as long as a server does."""
        return self.servers + name.encode()

    def leader(self, task: str) -> bytes:
        """The key of whoever does a task for all."""
        return self.leaders + task.encode()

    def object_key(self, key: Key) -> bytes:
        """Where a key's value lies."""
        return self.objects + "/".join(map(_escaped, key)).encode()

    def key_of(self, stored: bytes) -> Key:
        """The key of an object's place. Raises ValueError for what is none."""
        parts = stored[len(self.objects) :].decode().split("/")
        if len(parts) != _PARTS:
            raise ValueError(f"{stored!r} is not the key of an object")
        resource, cluster, namespace, name = map(_unescaped, parts)
        return Key(resource, LogicalClusterName(cluster), namespace, name)


def _escaped(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2F") if "%" in part or "/" in part else part


def _unescaped(part: str) -> str:
    return part.replace("%2F", "/").replace("%25", "%") if "%" in part else part


def end_of(prefix: bytes) -> bytes:
    """The end of the range of all keys that begin with a prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def stored(value: bytes, tag: str) -> bytes:
    """What is put for a value."""
    content: bytes = messages.make("Stored", tag=tag, value=value).SerializeToString()
    return content
