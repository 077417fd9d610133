"""etcd whose quota is used up: refused writes have not happened, and the rest continues."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from kcp.store.contract import StoreUnavailableError
from kcp.store.etcd.opening import open_store
from kcp.store.etcd.store import EtcdStore
from tests.store.conformance.backends import delete, key, put
from tests.support.waiting import eventually

QUOTA = 16 << 20
FILLING = b"x" * 50_000
NAMES = [f"n{number}" for number in range(40)]


def in_use(store: EtcdStore) -> float:
    """Return the bytes in use in the largest of the members' databases."""
    return max(store.labelled().get("etcd_in_use", {}).values(), default=0.0)


def alarm(store: EtcdStore) -> float | None:
    """Whether the store has seen the alarm; None before the first status."""
    return store.labelled().get("etcd_alarm", {}).get(("NOSPACE",))


def value(turn: int) -> bytes:
    """The value that is written in a round; before the first there is none."""
    return b"%d " % turn + FILLING


async def fill(store: EtcdStore) -> dict[str, bytes]:
    """Write all keys again and again until each write is refused; return the value that each key must have."""

    async def write(name: str) -> bytes:
        for turn in range(1, 1000):
            try:
                await put(store, name, value(turn))
            except StoreUnavailableError as error:
                if "etcd refuses the write: etcdserver: mvcc: database space exceeded (alarm NOSPACE" in str(error):
                    return value(turn - 1)
                raise
        raise AssertionError("it is never full")

    return dict(zip(NAMES, await asyncio.gather(*map(write, NAMES)), strict=True))


@pytest.mark.parametrize("members", [1, 3])
async def test_a_write_that_is_refused_has_not_happened_and_the_rest_goes_on(tmp_path: Path, members: int) -> None:
    """etcd executes the write that reaches the quota, and answers it like those that it does not execute."""
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, members, ["--quota-backend-bytes", str(QUOTA)]) as cluster:
        stores = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            stores.append(await open_store(cluster.options("/kcp"), tmp_path / name))
        store, other = stores
        try:
            await eventually(lambda: alarm(store) == 0.0, "the first figures")
            expected = await fill(store)
            for each in stores:
                await each.catch_up()
                held = {name: record.value for name in NAMES if (record := each.get(key(name))) is not None}
                assert held == {name: there for name, there in expected.items() if there != value(0)}
                assert each.problem() is None
            await eventually(lambda: alarm(store) == 1.0, "the alarm")
            for change in (put(other, "more", b"1"), delete(other, NAMES[0])):
                with pytest.raises(StoreUnavailableError, match="NOSPACE"):
                    await change
            full = in_use(store)
            await store.compact(store.revision)
            await asyncio.to_thread(cluster.control, "defrag", "--cluster")
            await asyncio.to_thread(cluster.control, "alarm", "disarm")
            await eventually(lambda: alarm(store) == 0.0, "the alarm's end")
            await eventually(lambda: in_use(store) < full * 0.75, "room")
            for number, each in enumerate(stores):
                assert await put(each, f"more{number}", b"1") > 0
                assert await delete(each, NAMES[number]) > 0
        finally:
            for each in stores:
                await each.close()
