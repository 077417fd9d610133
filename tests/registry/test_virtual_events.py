"""Watch events of virtual objects for a client that does not read: what waits for it is bounded."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from kcp.logical_clusters import LogicalClusterName
from kcp.registry.verbs import namespaces
from kcp.registry.verbs.virtual_events import VirtualEvents
from kcp.server.process.registry_composition import compose_registry
from kcp.store.contract import ABSENT, Change, Key, Range, SlowConsumerError
from kcp.store.sqlite.store import open_store

CLUSTER = LogicalClusterName("team")
BATCH = 500


def namespace(number: int) -> Change:
    name = f"n{number:05}"
    value = b'{"metadata":{"resourceVersion":"","name":"%b","uid":"%b","creationTimestamp":"2026-01-01T00:00:00Z"}}' % (
        name.encode(),
        str(uuid4()).encode(),
    )
    return Change(Key(namespaces.STORAGE, CLUSTER, "", name), value, expected=ABSENT)


async def test_they_are_taken_in_parts_and_a_client_too_far_behind_must_list_again(tmp_path: Path) -> None:
    store = open_store(tmp_path / "kcp.db", durability="relaxed")
    try:
        registry = await compose_registry(store)
        accounts = registry.catalog.base.find("", "v1", "serviceaccounts")
        assert accounts is not None
        range_ = Range(accounts.storage, CLUSTER)
        behind, reading = (
            VirtualEvents(registry.source, accounts, range_, store.revision, lambda: None) for _ in range(2)
        )
        read = 0
        for start in range(0, 10_500, BATCH):
            await store.write([namespace(number) for number in range(start, start + BATCH)])
            while reading:
                taken = reading.take()
                assert 0 < len(taken) < BATCH
                assert all(appeared for appeared, _ in taken)
                read += len(taken)
        assert read == 10_500
        assert behind
        with pytest.raises(SlowConsumerError):
            behind.take()
        behind.close()
        reading.close()
    finally:
        await store.close()
