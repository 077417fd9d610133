"""The mount table: the handlers of the paths that are not resources.

A mount declares a path prefix and how requests below it are served. An embedder may add mounts, or replace one
by another with the same prefix; see `kcp.server.process.parts`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from kcp.api import errors
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.request_info import RequestInfo

Handler = Callable[[Exchange, RequestInfo], Awaitable[None]]
"""Answers an authorized request. Raises StatusError."""

READ_METHODS: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A path prefix with its handler.

    ``subpaths``: whether paths below the prefix belong to it too. ``in_flight``: whether its requests count towards the limit
    on reading requests. ``index``: the paths that ``GET /`` lists for a request; by default the prefix.
    """

    prefix: str
    handler: Handler
    methods: frozenset[str] = READ_METHODS
    subpaths: bool = False
    in_flight: bool = True
    index: Callable[[RequestInfo], Iterable[str]] | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments of the prefix."""
        return tuple(part for part in self.prefix.split("/") if part)


class MountTable:
    """Mounts by prefix. The longest prefix of a path counts; of two mounts with one prefix the later one."""

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._mounts = {mount.segments: mount for mount in mounts}
        self.roots: Final = frozenset(segments[0] for segments in self._mounts if segments)
        """The first segments of all prefixes."""
        longest_first = sorted(self._mounts.items(), key=lambda entry: -len(entry[0]))
        self._everywhere = [entry for entry in longest_first if not entry[0]]
        self._by_root = {
            root: [entry for entry in longest_first if entry[0][:1] in ((root,), ())] for root in self.roots
        }

    def find(self, parts: tuple[str, ...]) -> Mount | None:
        """Return the mount of a path, given as its segments."""
        for segments, mount in self._by_root.get(parts[0], self._everywhere) if parts else self._everywhere:
            if parts == segments or (mount.subpaths and parts[: len(segments)] == segments):
                return mount
        return None

    def route(self, info: RequestInfo) -> Mount:
        """Return the mount of a request. Raises StatusError 404 or 405."""
        mount = self.find(info.parts)
        if mount is None:
            raise errors.page_not_found()
        if info.method not in mount.methods:
            raise errors.method_not_allowed()
        return mount

    def index(self, info: RequestInfo) -> list[str]:
        """Return the paths that ``GET /`` lists, sorted."""
        found: set[str] = set()
        for mount in self._mounts.values():
            found.update(mount.index(info) if mount.index is not None else (mount.prefix,))
        return sorted(found)
