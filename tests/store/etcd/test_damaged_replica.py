"""A replica that the disk has changed: a restart fetches the values from etcd again, and no delete removes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from devtools.etcd import EtcdCluster
from kcp.store.contract import DamagedValueError
from kcp.store.etcd.replica import ORIGIN
from tests.store.conformance.backends import key, opened, put
from tests.store.conformance.test_damaged_values import change_value
from tests.store.etcd.backends import EtcdBackend
from tests.support.damaging import replace_bytes
from tests.support.objects import config_map
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
IGNORE = "ignoreStoreReadErrorWithClusterBreakingPotential=true"


def is_complete(file: Path) -> bool:
    connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return connection.execute("SELECT 1 FROM metadata WHERE name = ?", (ORIGIN,)).fetchone() is not None
    finally:
        connection.close()


async def test_a_restart_fetches_a_damaged_copy_anew(etcd_of_one: EtcdCluster, tmp_path: Path) -> None:
    backend = EtcdBackend(etcd_of_one, tmp_path)
    async with opened(backend) as store:
        await put(store, "a", b'{"sound":1}')
    change_value(backend.file, "a", b'{"sound":2}')
    async with opened(backend) as store:
        with pytest.raises(DamagedValueError) as raised:
            store.get(key("a"))
        assert raised.value.recoverable
        await put(store, "b")  # after the write that marks the replica as incomplete
    async with opened(backend) as store:
        found = store.get(key("a"))
        assert found is not None
        assert found.value == b'{"sound":1}'


def test_a_server_keeps_values_that_only_its_replica_has_lost(etcd_of_one: EtcdCluster, tmp_path: Path) -> None:
    where: dict[str, Any] = {"etcd_servers": tuple(etcd_of_one.urls), "etcd_prefix": f"/{tmp_path.name}"}
    with RunningServer(tmp_path, **where) as server:
        assert server.post(CONFIG_MAPS, config_map("a", key="VALUE-OF-a")).status == 201
    (file,) = (tmp_path / "data").glob("replica-*.db")
    replace_bytes(file, b"VALUE-OF-a", b"VALUE-OF-X")
    with RunningServer(tmp_path, **where) as server:
        for method, path in (("GET", "a"), ("DELETE", f"a?{IGNORE}")):
            answer = server.ask(method, f"{CONFIG_MAPS}/{path}")
            assert answer.status == 500
            assert "restart this server" in answer.json["message"]
            assert "ignoreStoreReadError" not in answer.json["message"]
        assert "[!]values noted: 1 value is damaged" in server.get("/readyz?verbose").body.decode()
        wait_until(lambda: not is_complete(file), "the copy is discarded")
    with RunningServer(tmp_path, **where) as server:
        assert server.get(f"{CONFIG_MAPS}/a").json["data"] == {"key": "VALUE-OF-a"}
