"""What the controller keeps of imports and negotiated resources."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from kcp.client.informers.caches import Cache
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.negotiation.records import API, Records
from tests.multicluster.negotiation.apis import fields

CLUSTER = LogicalClusterName("root")
WIDGETS = API(CLUSTER, "example.com", "widgets")


def negotiated(name: str, created: int) -> dict[str, Any]:
    metadata = {"name": name, "uid": name, "resourceVersion": "1", "creationTimestamp": f"2026-01-01T00:00:0{created}Z"}
    return {"metadata": metadata, "spec": fields("a")}


def test_of_several_negotiated_resources_of_a_version_the_oldest_counts_for_every_controller() -> None:
    several = [negotiated("b", 1), negotiated("a", 2), negotiated("c", 1)]
    for seen in permutations(several):
        records = Records(lambda _: None)
        cache = Cache(CLUSTER, {}, records.on_negotiated, records.shorten)
        for each in seen:
            cache.put(each)
        found = records.of(WIDGETS)["v1"].negotiated
        assert found is not None
        assert found.name == "b"
