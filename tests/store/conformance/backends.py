"""The backends that the suite runs on, and helpers for tests of a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeVar, cast

import pytest

from kcp.store.contract import ANY, Capabilities, Change, Event, Hint, Key, Range, Record, Store, Subscription
from kcp.store.encryption.opening import KeyFile, open_encrypted
from kcp.store.encryption.options import NamedKey, ProviderOptions, Rule
from kcp.store.etcd.store import CAPABILITIES as ETCD
from kcp.store.server_contract import ServerStore
from kcp.store.sqlite.store import CAPABILITIES as SQLITE
from kcp.store.sqlite.store import open_store
from tests.store.etcd.backends import EtcdBackend
from tests.support.keys import make_key
from tests.support.waiting import PATIENCE

Value = TypeVar("Value")
_AT_A_TIME: Final = 250


class Backend(Protocol):
    """A log; opening it again shows the same content."""

    overhead: int
    """Bytes that the stored form of a value has more than the value."""

    @property
    def file(self) -> Path:
        """The local file from which reads are served."""

    async def open(self) -> Store:
        """Open a store over the same log as the last time."""


class SQLiteBackend:
    """A log in a file of a directory."""

    overhead = 0

    def __init__(self, directory: Path) -> None:
        self.file = directory / "kcp.db"

    async def open(self) -> Store:
        """Open a store over the same file as the last time."""
        return open_store(self.file)


class Encrypted:
    """Another backend, with all its values encrypted."""

    overhead = len("k8s:enc:aesgcm:v1:key1:") + 28

    def __init__(self, inner: Backend, capabilities: Capabilities) -> None:
        self._inner = inner
        self._capabilities = capabilities
        key = NamedKey("key1", bytes(range(32)))
        self._rules = [Rule(("*.*",), (ProviderOptions("aesgcm", (key,)),))]

    @property
    def file(self) -> Path:
        """The local file, whose values are encrypted."""
        return self._inner.file

    async def open(self) -> Store:
        """Open a store over the same log as the last time."""
        inner = cast(ServerStore, await self._inner.open())
        file = KeyFile(Path("keys.yaml"), lambda _: self._rules)
        capabilities = self._capabilities
        store, _ = await open_encrypted(inner, file, capabilities.max_changes, shared=capabilities.shared)
        return store


class Kind(NamedTuple):
    """A kind of backend: its capabilities, and how a test gets an empty log of it."""

    name: str
    capabilities: Capabilities
    make: Callable[[pytest.FixtureRequest, Path], Backend]


BACKENDS = (
    Kind("sqlite", SQLITE, lambda _request, path: SQLiteBackend(path)),
    Kind("sqlite-encrypted", SQLITE, lambda _request, path: Encrypted(SQLiteBackend(path), SQLITE)),
    Kind(
        "etcd-encrypted",
        ETCD,
        lambda request, path: Encrypted(EtcdBackend(request.getfixturevalue("etcd_of_one"), path), ETCD),
    ),
    Kind("etcd-one-member", ETCD, lambda request, path: EtcdBackend(request.getfixturevalue("etcd_of_one"), path)),
    Kind("etcd-three-members", ETCD, lambda request, path: EtcdBackend(request.getfixturevalue("etcd_of_three"), path)),
)
"""The backends that the suite runs on."""


@asynccontextmanager
async def opened(backend: Backend) -> AsyncIterator[Store]:
    """Open the backend's store, and close it at the end."""
    store = await backend.open()
    try:
        yield store
    finally:
        await store.close()


async def with_store(backend: Backend, work: Callable[[Store], Awaitable[Value]]) -> Value:
    """Run a function on a store that is opened only for it."""
    async with opened(backend) as store:
        return await work(store)


def key(name: str, namespace: str = "default", cluster: str = "root", resource: str = "widgets") -> Key:
    """A key of the tests' usual resource."""
    return make_key(resource, cluster, namespace, name)


WIDGETS = Range("widgets")


async def put(store: Store, where: Key | str, value: bytes = b"{}", expected: int = ANY, tag: str = "") -> int:
    """Write one value."""
    where = key(where) if isinstance(where, str) else where
    return await store.write([Change(where, value, expected=expected, tag=tag)])


async def put_many(store: Store, values: Sequence[tuple[str, bytes]]) -> list[int]:
    """Write one value after the other; few at a time, so that none waits for a slow machine until its timeout."""
    return [
        revision
        for first in range(0, len(values), _AT_A_TIME)
        for revision in await asyncio.gather(*(put(store, *each) for each in values[first : first + _AT_A_TIME]))
    ]


async def delete(store: Store, where: Key | str, expected: int = ANY) -> int:
    """Delete one key."""
    where = key(where) if isinstance(where, str) else where
    return await store.write([Change(where, None, expected=expected)])


async def received(subscription: Subscription, through: int) -> list[Event]:
    """Return every event of a subscription up to a revision, which must be published."""
    events: list[Event] = []
    async with asyncio.timeout(PATIENCE):
        while subscription.revision < through:
            events += await subscription.next(timeout=0)
    return events


def names(records: list[Record]) -> list[str]:
    """The names of a page."""
    return [record.key.name for record in records]


def shown(events: list[Event]) -> list[tuple[str, str, int]]:
    """Return events as (type, name, revision)."""
    return [(kind(event), event.key.name, event.revision) for event in events]


def kind(event: Event) -> str:
    """Return the type of an event for a watcher."""
    if event.record is None:
        return "deleted"
    return "added" if event.previous is None else "modified"


async def select_all(
    store: Store, range_: Range, hint: Hint, *, limit: int = 0, at: int | None = None, size: int = 0
) -> list[Record]:
    """Return the records of all pages of a search; check the length of each, and that the last one ends it."""
    found: list[Record] = []
    while True:
        after = found[-1].key if found else None
        page = await store.select(range_, hint, limit=limit, after=after, at=at, size=size)
        assert not limit or len(page.records) <= limit
        assert page.remaining in (0, -1)
        found += page.records
        if not page.remaining:
            return found
        assert page.records


def check_search(found: list[Record], hint: Hint, there: list[Record]) -> None:
    """Check that a search of a range has found in order, of the records there, all that its hint admits."""
    assert [record for record in found if hint.admits(record)] == [record for record in there if hint.admits(record)]
    assert found == [record for record in there if record in found]
