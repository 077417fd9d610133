"""Clusters that answer wrongly, slowly or without an end: the controller says so, and goes on for the others."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web

from kcp.multicluster.clusters import controller, kubeconfigs
from kcp.multicluster.clusters.modes.push import PushedSyncers
from kcp.testing import LogicalCluster, Server
from tests.client.scripted_servers import Handler, answer, refusal, scripted
from tests.multicluster.clusters.control_plane import (
    BeatingSyncer,
    ControlPlane,
    accessed,
    condition_of,
    controlled,
    define_gadgets,
)


def kubeconfig(url: str) -> str:
    """A kubeconfig of a server."""
    return (
        f"{{current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], "
        f"users: [{{name: u, user: {{token: hidden-token}}}}], clusters: [{{name: c, cluster: {{server: '{url}'}}}}]}}"
    )


def answering(**answers: Any) -> Handler:
    """A cluster that answers with some values, by the last segment of the path; the others are right, or 404."""
    right: dict[str, Any] = {
        "version": {"gitVersion": "v1.36.0"},
        "kube-system": {"metadata": {"name": "kube-system", "uid": "u-1"}},
        "nodes": {"kind": "NodeList", "metadata": {}, "items": []},
        "api": {"kind": "APIVersions", "versions": ["v1"]},
        "apis": {"kind": "APIGroupList", "groups": []},
    }

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        found = {**right, **answers}.get(name)
        if callable(found):
            made: web.StreamResponse = await found(request)
            return made
        return refusal(404, "NotFound") if found is None else answer(found)

    return handler


async def told(plane: ControlPlane, handler: Handler, caplog: pytest.LogCaptureFixture) -> str:
    """Register a cluster. Returns why it is not ready; nothing else may have gone wrong."""
    async with scripted(handler) as server:
        await plane.register("lying", kubeconfig(server.url))
        found = await plane.becomes(
            "lying", lambda each: condition_of(each).get("status") == "False", "the cluster is not ready"
        )
        assert [each.getMessage() for each in caplog.records if each.exc_info or each.levelno > logging.WARNING] == []
        return f"{condition_of(found)['reason']}: {condition_of(found)['message']}"


@pytest.mark.parametrize(
    "answers",
    [
        {"version": [1]},
        {"version": {"gitVersion": {"a": 1}}, "kube-system": []},
        {"kube-system": {"metadata": [1]}},
        {"nodes": {"kind": "NodeList", "metadata": {}, "items": [{}, {"status": 3}, {"status": {"capacity": [1]}}]}},
        {"nodes": {"kind": "NodeList", "metadata": {}, "items": 3}},
        {"api": 3},
        {"apis": {"kind": "APIGroupDiscoveryList", "items": [{"metadata": 3, "versions": {"a": 1}}, 4]}},
        {"v3": ["openapi"]},
        {"customresourcedefinitions": {"kind": "List", "metadata": {}, "items": [{"metadata": 3}, {"spec": []}]}},
    ],
)
async def test_a_cluster_that_answers_nonsense_is_not_ready(
    kcp_cluster: LogicalCluster, caplog: pytest.LogCaptureFixture, answers: dict[str, Any]
) -> None:
    async with controlled(kcp_cluster) as plane:
        assert await told(plane, answering(**answers), caplog)


async def test_a_list_without_an_end_is_given_up(kcp_cluster: LogicalCluster, caplog: pytest.LogCaptureFixture) -> None:
    meta = {"metadata": {"continue": "more"}}
    nodes = {**meta, "kind": "NodeList", "items": [{"metadata": {"name": "a"}}]}
    definitions = {**meta, "kind": "List", "items": [{"metadata": {"name": "a" * 4_000_000}}]}
    async with controlled(kcp_cluster) as plane:
        why = await told(plane, answering(nodes=nodes), caplog)
        assert why == "ClusterUnreachable: Error reaching cluster lying: the list of nodes does not end"
        await plane.clusters.delete("lying")
        await plane.vanishes("lying")
        why = await told(plane, answering(customresourcedefinitions=definitions), caplog)
        assert why.startswith("ErrorPullingResourceSchemas: ")
        assert "the list is larger than 134217728 bytes" in why


async def test_a_cluster_that_answers_slowly_is_given_up(
    kcp_cluster: LogicalCluster, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(controller, "_LONGEST_CHECK", 0.5)
    async with controlled(kcp_cluster) as plane:
        why = await told(plane, answering(nodes=never), caplog)
        assert why == "ClusterUnreachable: Cluster lying answers too slowly: this was not done within 0.5 s"


async def test_clusters_that_do_not_answer_keep_nobody_else_waiting(
    kcp_server: Server, kcp_cluster: LogicalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than the controller checks at a time: none of their checks ends during the test."""
    monkeypatch.setattr(controller, "_LONGEST_CHECK", 3600.0)
    monkeypatch.setitem(kubeconfigs._LIMITS, "request_timeout", 3600.0)
    east, tenant = kcp_server.logical_cluster(), kcp_server.logical_cluster()
    await define_gadgets(east)

    async def never(_request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        scripted(answering(version=never)) as server,
        controlled(kcp_cluster, PushedSyncers(BeatingSyncer().run)) as plane,
        accessed(tenant) as other,
    ):
        for number in range(80):
            await other.register(f"silent-{number}", kubeconfig(server.url))
        await plane.register("us-east1", east.kubeconfig.read_text())
        await plane.is_ready("us-east1", "True", "SyncerReady")
