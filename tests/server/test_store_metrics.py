"""The metrics of the store over HTTP, with the log in a file and in etcd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

MAPS = "/clusters/some-tenant/api/v1/namespaces/default/configmaps"
OF_ETCD = {"kcp_store_replica_lag_seconds", "kcp_store_replica_lag_revisions", "kcp_store_replica_rebuilds_total"}
Samples = dict[tuple[str, str], float]


def samples(server: RunningServer) -> Samples:
    """Return the store's samples by name and by the value of their one label (a bucket, or an etcd endpoint)."""
    found = {}
    text = server.get("/metrics", token=server.token).body.decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith(("kcp_store_", "apiserver_storage_")):
                assert set(sample.labels) in (set(), {"le"}, {"endpoint"}, {"alarm"})
                found[sample.name, "".join(sample.labels.values())] = sample.value
    return found


def samples_when(server: RunningServer, holds: Callable[[Samples], bool]) -> Samples:
    """Return the samples once they meet a condition; the exposition is generated once a second."""
    found = wait_until(lambda: kept if holds(kept := samples(server)) else None, "the samples are as wanted")
    assert found is not None
    return found


def write(server: RunningServer, count: int) -> int:
    """Create some objects; return the revision of the last one."""
    for _ in range(count):
        body = {"metadata": {"generateName": "n"}, "data": {"a": "b" * 1000}}
        answer = server.post(MAPS, body)
        assert answer.status == 201
    return int(answer.json["metadata"]["resourceVersion"])


def check_batches(before: Samples, after: Samples, count: int) -> None:
    """Check both histograms, and that they count the batches of at least so many writes."""
    written = after["kcp_store_writes_total", ""] - before["kcp_store_writes_total", ""]
    assert written >= count
    for name in ("kcp_store_batch_writes", "kcp_store_commit_duration_seconds"):
        buckets = [value for (bucket, _), value in after.items() if bucket == f"{name}_bucket"]
        assert len(buckets) > 10
        assert buckets == sorted(buckets)
        assert buckets[-1] == after[f"{name}_bucket", "+Inf"] == after[f"{name}_count", ""]
        assert after[f"{name}_count", ""] > before[f"{name}_count", ""]
        assert after[f"{name}_sum", ""] > before[f"{name}_sum", ""]
    assert after["kcp_store_batch_writes_sum", ""] == after["kcp_store_writes_total", ""]


def test_the_figures_of_a_log_in_a_file(tmp_path: Path) -> None:
    server = RunningServer(tmp_path, history_retention=0.2, compaction_interval=0.2)
    try:
        before = samples(server)
        newest = write(server, 30)
        after = samples_when(server, lambda found: found["kcp_store_revision", ""] >= newest)
        check_batches(before, after, 30)
        assert not {name for name, _ in after} & OF_ETCD
        assert not any(name.startswith("kcp_store_etcd_") for name, _ in after)
        assert after["kcp_store_failed_batches_total", ""] == 0
        samples_when(server, lambda found: found["kcp_store_oldest_revision", ""] >= newest)
        assert after["apiserver_storage_size_bytes", ""] > (tmp_path / "data" / "kcp.db").stat().st_size / 2
    finally:
        server.stop()


def test_the_figures_of_a_log_in_etcd(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path) as cluster:
        server = RunningServer(tmp_path / "kcp", etcd_servers=cluster.urls)
        try:
            before = samples(server)
            newest = write(server, 10)
            after = samples_when(server, lambda found: found["kcp_store_revision", ""] >= newest)
            check_batches(before, after, 10)
            assert {name for name, _ in after} >= OF_ETCD
            asked = samples_when(server, lambda found: ("kcp_store_etcd_alarm", "NOSPACE") in found)
            assert asked["kcp_store_etcd_alarm", "NOSPACE"] == asked["kcp_store_etcd_alarm", "CORRUPT"] == 0
            for url in cluster.urls:
                assert 0 < asked["kcp_store_etcd_in_use_bytes", url] <= asked["kcp_store_etcd_size_bytes", url]
            samples_when(
                server,
                lambda found: (
                    found["kcp_store_replica_lag_revisions", ""] == 0
                    and found["kcp_store_replica_lag_seconds", ""] < 2.5
                ),
            )
            for member in cluster.members:
                member.kill()
            samples_when(server, lambda found: found["kcp_store_replica_lag_seconds", ""] > 4)
            for member in cluster.members:
                member.start()
            samples_when(server, lambda found: found["kcp_store_replica_lag_seconds", ""] < 2.5)
            again = samples(server)
            assert again["kcp_store_etcd_reconnections_total", ""] > before["kcp_store_etcd_reconnections_total", ""]
        finally:
            server.stop()
