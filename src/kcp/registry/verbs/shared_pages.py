"""Shared pages: a cache of encoded list pages that several clients request while nothing in them changes.

After a restart, or behind a dashboard, many clients list one collection at the same time. The second request for a page stores
its encoding and later requests copy it, until something in its range changes. Bounded in bytes; the oldest page is evicted first.
"""

from __future__ import annotations

from typing import Final

from kcp.store.contract import Key, Range, Store

_ALL_BYTES: Final = 4 << 20
_PAGE_BYTES: Final = 1 << 20
_PAGES: Final = 256

PageKey = tuple[str, Range, Key | None, int]
"""The reading hash of the type, the range, the key after which the page starts, and its limit."""


class SharedPage:
    """One page at ``revision``: its last key, how many items remain, and its encoded items once a request has stored them."""

    __slots__ = ("_owner", "items", "last", "remaining", "revision")

    def __init__(self, owner: SharedPages, revision: int, last: Key | None, remaining: int) -> None:
        self._owner = owner
        self.revision = revision
        self.last = last
        self.remaining = remaining
        self.items: bytes | None = None

    def keep(self, items: bytes) -> None:
        """Store the encoded items, unless they are too large."""
        if len(items) <= _PAGE_BYTES and self.items is None:
            self.items = items
            self._owner.grew(len(items))


class SharedPages:
    """The pages that were requested last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: dict[PageKey, SharedPage] = {}
        self._bytes = 0

    def find(self, key: PageKey, at: int) -> SharedPage | None:
        """The page at a revision, if it was requested before and is unchanged."""
        page = self._pages.get(key)
        if page is None:
            return None
        if at >= page.revision and self._store.unchanged_since(key[1], page.revision):
            return page
        self._drop(key)
        return None

    def remember(self, key: PageKey, revision: int, last: Key | None, remaining: int) -> None:
        """Record that a page was read."""
        if len(self._pages) >= _PAGES:
            self._drop(next(iter(self._pages)))
        self._pages[key] = SharedPage(self, revision, last, remaining)

    def grew(self, size: int) -> None:
        """Evict pages after one has grown by ``size`` bytes."""
        self._bytes += size
        while self._bytes > _ALL_BYTES:
            self._drop(next(iter(self._pages)))

    def _drop(self, key: PageKey) -> None:
        page = self._pages.pop(key)
        if page.items is not None:
            self._bytes -= len(page.items)
