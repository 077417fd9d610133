"""Discovery of servers that are old, broken in part, or no API servers at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from kcp.api.kinds import GroupVersion
from kcp.client import DiscoveryError
from tests.client.scripted_servers import answer, refusal, scripted

NAMES = {"name": "widgets", "kind": "Widget", "namespaced": True, "verbs": ["get"], "singularName": "widget"}
DOCUMENTS: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "resources": [{"name": "pods", "kind": "Pod", "namespaced": True}]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {
                "name": "b.com",
                "versions": [{"version": "v1"}, {"version": "v2"}],
                "preferredVersion": {"version": "v2"},
            },
            {"name": "a.com", "versions": [{"version": "v1"}]},
            {"name": "broken.com", "versions": [{"version": "v1"}]},
        ],
    },
    "/apis/b.com/v1": {"resources": [NAMES, {"name": "gadgets", "kind": "Gadget"}]},
    "/apis/b.com/v2": {"resources": [NAMES, {"name": "widgets/status", "kind": "Widget", "verbs": ["get"]}]},
    "/apis/a.com/v1": {"resources": [NAMES, {"name": 7}, "x", {"name": "orphan/status", "kind": "X"}]},
}


async def older(request: web.BaseRequest) -> web.StreamResponse:
    """A server that knows the older form only, and cannot answer for one of its groups."""
    found = DOCUMENTS.get(request.path)
    return refusal(503, "ServiceUnavailable", "the aggregated server is gone") if found is None else answer(found)


async def test_the_older_form_is_read_where_the_aggregated_one_is_not_known() -> None:
    async with scripted(older) as server, server.client() as client:
        found = await client.discovery.all()
        assert [str(each) for each in found.resources] == [
            "pods.v1",
            "widgets.v2.b.com",
            "widgets.v1.b.com",
            "gadgets.v1.b.com",
            "widgets.v1.a.com",
        ]
        assert list(found.resources[1].subresources) == ["status"]
        assert "apidiscovery.k8s.io" in server.headers[0]["Accept"]


async def test_a_name_means_the_first_group_and_its_preferred_version() -> None:
    async with scripted(older) as server, server.client() as client:
        found = await client.discovery.all()
        assert str(found.find("widget")) == "widgets.v2.b.com"
        assert str(found.find("widgets.a.com")) == "widgets.v1.a.com"
        assert str(found.find("widgets.v1.b.com")) == "widgets.v1.b.com"
        assert str(found.find("gadgets")) == "gadgets.v1.b.com"
        assert [str(each) for each in found.preferred()] == [
            "pods.v1",
            "widgets.v2.b.com",
            "gadgets.v1.b.com",
            "widgets.v1.a.com",
        ]


async def test_a_group_that_cannot_be_read_does_not_hide_the_others_and_is_named() -> None:
    async with scripted(older) as server, server.client() as client:
        assert list((await client.discovery.all()).failed) == [GroupVersion("broken.com", "v1")]
        with pytest.raises(DiscoveryError, match=r"not read: broken.com/v1: the aggregated server is gone"):
            await client.find("sprockets.broken.com")
        assert server.requests.count("GET /apis/broken.com/v1") == 2  # one for each time that the client asked


async def test_a_stale_group_is_named() -> None:
    version = {"version": "v1", "freshness": "Stale", "resources": []}
    document = {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "x.com"}, "versions": [version]}]}

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return answer(document) if request.path == "/apis" else refusal(404, "NotFound")

    async with scripted(handler) as server, server.client() as client:
        assert list((await client.discovery.all()).failed) == [GroupVersion("x.com", "v1")]


async def test_requests_that_come_together_ask_once() -> None:
    async with scripted(older) as server, server.client() as client:
        await asyncio.gather(*(client.find("pods") for _ in range(5)))
        assert server.requests.count("GET /apis") == 1


async def test_what_serves_no_apis_is_no_api_server() -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=404, text="nginx")

    async with scripted(handler) as server, server.client() as client:
        with pytest.raises(DiscoveryError, match="serves neither /api nor /apis"):
            await client.find("pods")


async def test_servers_that_serve_the_same_share_what_was_decoded() -> None:
    names = ["widgets"]

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        resources = [{"resource": name, "responseKind": {"kind": name.title()}, "verbs": ["get"]} for name in names]
        versions = [{"version": "v1", "resources": resources}]
        document = {"kind": "APIGroupDiscoveryList", "items": [{"metadata": {"name": "x.com"}, "versions": versions}]}
        return answer(document) if request.path == "/apis" else refusal(404, "NotFound")

    async with scripted(handler) as server, server.client() as one, server.client() as other:
        found = await one.discovery.all()
        assert await other.discovery.all() is found
        names.append("gadgets")
        changed = await other.discovery.refresh()
        assert [each.plural for each in changed.resources] == ["widgets", "gadgets"]
        assert [each.plural for each in found.resources] == ["widgets"]
