"""Clusters that answer what no API server answers: it is no object, no status and no message."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from aiohttp import web

from kcp.client import APIResource, StatusError, TransportError
from kcp.client.informers.objects import CachedObject, ObjectKey
from kcp.logical_clusters import UNNAMED
from kcp.multicluster.syncer.comparisons import content_digest, digest
from kcp.multicluster.syncer.downstream import Copies
from kcp.multicluster.syncer.kinds import kinds
from kcp.multicluster.syncer.sources import placement_metadata
from kcp.multicluster.syncer.statuses import problem_of, status_for_source
from kcp.multicluster.syncer.transforms import field_annotations
from tests.client.scripted_servers import answer, scripted

CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")
SERVICES = kinds().rules["services"]


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"metadata": "x"},
        {"metadata": {"name": 7}},
        {"metadata": {"name": "a", "labels": []}},
        {"metadata": {"name": "a", "annotations": "x"}},
        {"metadata": {"name": "a", "uid": {}}},
    ],
)
async def test_what_is_no_object_is_an_error_of_the_request(found: dict[str, Any]) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return answer(found)

    async with scripted(handler) as server, server.client(retries=0) as client:
        copies = Copies(client, CONFIG_MAPS)
        with pytest.raises(TransportError, match="something that is no object"):
            await copies.read("shop", "a")
        with pytest.raises(TransportError, match="something that is no object"):
            await copies.apply({"metadata": {"name": "a", "namespace": "shop"}}, None)


@pytest.mark.parametrize("status", ["x", 7, [1], True, {"conditions": 3}, {"conditions": [3, {"type": []}]}])
def test_any_status_can_be_read(status: Any) -> None:
    for shown in ("2", "9" * 5000):
        live = {"metadata": {"generation": 1, "annotations": {"workload.kcp.io/generation": shown}}, "status": status}
        assert isinstance(status_for_source(live, {}, None), dict)


def test_a_value_that_is_nested_deeply_has_a_digest() -> None:
    deep: Any = {}
    for _ in range(600):
        deep = {"a": deep}
    assert digest(deep)
    assert content_digest({"metadata": {}, "data": deep})


def test_a_label_that_is_no_text_is_left_out() -> None:
    labels = {"a": "b", "c": ["d"], "e": None}
    key = ObjectKey(UNNAMED, "shop", "a")
    assert CachedObject(key, {"labels": labels}, b"{}").labels == {"a": "b"}


def test_a_problem_is_short_and_has_a_reason_in_one_word() -> None:
    error = StatusError(422, "In valid\n", "x" * 1_000_000, details={})
    problem = problem_of(error, prefix="kcp: ")
    assert problem.reason == "Refused"
    assert len(problem.message) == 1024
    page = StatusError(403, "Forbidden", "internal page", details=None)
    assert str(problem_of(page)) == "Forbidden: the server answered 403 Forbidden"


def test_what_a_cluster_decides_takes_no_more_room_than_a_cluster_needs() -> None:
    live = {"spec": {"clusterIP": "x" * 100_000, "ports": [{"nodePort": 30000}, {"nodePort": 30001}]}}
    assert field_annotations(live, SERVICES) == {"cluster.workload.kcp.io/nodePorts": "[30000,30001]"}


def test_the_metadata_of_tenants_is_kept_without_what_decides_nothing() -> None:
    placing = {
        "name": "a",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "1",
        "finalizers": ["x"],
        "deletionTimestamp": "now",
        "labels": {"kcp.io/cluster": "east", "syncer.workload.kcp.io/east": ""},
        "annotations": {"kcp.io/cluster": "root", "workload.kcp.io/sync-error": "x", "cluster.workload.kcp.io/a": "b"},
    }
    large = {"labels": {**placing["labels"], "app": "web"}, "annotations": {**placing["annotations"], "b": "x" * 9}}  # type: ignore[dict-item]
    found = {"kind": "Secret", "metadata": {**placing, **large, "managedFields": [], "ownerReferences": []}}
    assert placement_metadata(orjson.loads(orjson.dumps(found))) == {"kind": "Secret", "metadata": placing}
