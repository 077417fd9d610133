"""The keys of a log in etcd.

Below the prefix are ``o/`` the objects, ``n`` the marker that every write puts, ``m/`` the log's metadata, ``s/`` the live
servers, and ``l/`` the leaders. An object's key joins the parts of its `Key` with slashes; slashes and percent signs inside a
part are escaped, so that parts never run into one another.
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
        self.marker = self.start + b"n"
        self.metadata = self.start + b"m/"
        self.metadata_end = end_of(self.metadata)
        self.identity = self.metadata + b"identity"
        self.offset = self.metadata + b"offset"
        self.compacted = self.metadata + b"compacted"
        self.importing = self.metadata + b"importing"
        self.restoring = self.metadata + b"restoring"
        self.servers = self.start + b"s/"
        self.servers_end = end_of(self.servers)
        self.leaders = self.start + b"l/"

    def server(self, name: str) -> bytes:
        """Return the key of a server, which lives as long as the server's lease."""
        return self.servers + name.encode()

    def leader(self, task: str) -> bytes:
        """Return the key of a task's leader."""
        return self.leaders + task.encode()

    def object_key(self, key: Key) -> bytes:
        """Return the key in etcd of an object."""
        return self.objects + "/".join(map(_escaped, key)).encode()

    def key_of(self, stored: bytes) -> Key:
        """Parse the key in etcd of an object. Raises ValueError."""
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
    """Return the end of the range of all keys with a prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def stored(value: bytes, tag: str) -> bytes:
    """Encode a value and its tag as etcd stores them."""
    content: bytes = messages.make("Stored", tag=tag, value=value).SerializeToString()
    return content
