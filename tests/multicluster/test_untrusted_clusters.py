"""Pulling from clusters that are malformed or hostile, and from clusters with conversion webhooks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kcp.client import TransportError
from kcp.multicluster.crd_puller import Pulled, UnconvertibleSchemaError, pull, structural_schema
from kcp.testing import LogicalCluster
from tests.client.scripted_servers import Handler, answer, refusal, scripted
from tests.support.kcp_process import run
from tests.support.objects import definition

Schema = dict[str, Any]


def nested(levels: int) -> Schema:
    schema: Schema = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def referring(levels: int, *fields: str) -> dict[str, Schema]:
    """Schemas of which each refers to the next one in each field."""
    schemas: dict[str, Schema] = {
        f"S{level}": {
            "type": "object",
            "properties": {field: {"$ref": f"#/components/schemas/S{level + 1}"} for field in fields},
        }
        for level in range(levels)
    }
    return {**schemas, f"S{levels}": {"type": "string"}}


@pytest.mark.parametrize(
    ("schemas", "message"),
    [
        ({"S0": nested(300)}, "nested more than 100 levels deep"),
        (referring(300, "a"), "nested more than 100 levels deep"),
        (referring(30, "a", "b"), "are too many for a definition"),
        (referring(1, "a") | {"S1": None}, ".a: the OpenAPI document has no schema S1"),
        ({"S0": {"properties": {"a": 3}}}, ".a: not a schema"),
        ({"S0": {"properties": 3}}, "properties are not a mapping"),
        ({"S0": {"properties": {"a": {"$ref": 7}}}}, r".a: \$ref is not a string"),
        ({"S0": {"properties": {"a": {"type": "array", "items": 3}}}}, r".a\[\]: not a schema"),
    ],
)
def test_a_schema_without_a_structural_form_is_refused(schemas: dict[str, Schema], message: str) -> None:
    with pytest.raises(UnconvertibleSchemaError, match=message):
        structural_schema(schemas, "S0")


def test_keywords_of_a_wrong_type_are_ignored() -> None:
    listed = {"type": "array", "items": {}, "x-kubernetes-list-map-keys": 3, "x-kubernetes-patch-strategy": 4}
    schema = structural_schema({"S0": {"required": 7, "properties": {"a": {"type": ["string"]}, "b": listed}}}, "S0")
    assert schema["properties"]["a"] == {"x-kubernetes-preserve-unknown-fields": True}
    assert schema["properties"]["b"]["x-kubernetes-list-type"] == "atomic"
    assert "required" not in schema


def resource(plural: str, group: str = "example.com") -> dict[str, Any]:
    entry = {"resource": plural, "responseKind": {"kind": "Widget"}, "scope": "Namespaced", "verbs": ["get"]}
    return {"metadata": {"name": group}, "versions": [{"version": "v1", "resources": [entry]}]}


def custom(plural: str, **spec: Any) -> dict[str, Any]:
    """A CustomResourceDefinition named after its plural; ``spec`` replaces fields."""
    versions = [
        {"name": "v1", "served": True, "storage": False},
        {"name": "v2", "served": True, "storage": True},
    ]
    names = {"plural": plural, "kind": "Widget"}
    return {
        "metadata": {"name": f"{plural}.example.com", "annotations": {"kcp.io/cluster": "source", "team": "a"}},
        "spec": {"group": "example.com", "names": names, "scope": "Namespaced", "versions": versions, **spec},
    }


def cluster(discovered: list[dict[str, Any]], definitions: list[Any], openapi: Handler | None = None) -> Handler:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/apis":
            return answer({"kind": "APIGroupDiscoveryList", "items": discovered})
        if path.endswith("/customresourcedefinitions"):
            listed = {"kind": "CustomResourceDefinitionList", "metadata": {"resourceVersion": "1"}}
            return answer({**listed, "items": definitions})
        if path.startswith("/openapi") and openapi is not None:
            return await openapi(request)
        return refusal(404, "NotFound")

    return handler


async def pulled(handler: Handler) -> Pulled:
    async with scripted(handler) as server, server.client(retries=0) as client:
        return await pull(client)


@pytest.mark.parametrize("plural", ["../../escaped", "/etc/cron.d/job", "..", "a/b", "Upper", "a\x1b[2J", "a" * 300])
async def test_a_name_that_is_not_a_dns_name_is_skipped(plural: str) -> None:
    found = await pulled(cluster([resource(plural)], [custom(plural)]))
    assert found.definitions == []
    assert "the name is invalid" in found.skipped[f"{plural}.example.com"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"group": "other.com"}, "defines widgets.other.com"),
        ({"names": {"plural": "../x", "kind": "Widget"}}, "defines ../x.example.com"),
        ({"names": 3}, "defines .example.com"),
        ({"versions": 3}, "has no list of versions"),
        ({"versions": [nested(120)]}, "nested too deeply"),
    ],
)
async def test_a_definition_that_does_not_define_its_resource_is_skipped(spec: Schema, message: str) -> None:
    found = await pulled(cluster([resource("widgets")], [{"metadata": 3}, {}, custom("widgets", **spec)]))
    assert found.definitions == []
    assert message in found.skipped["widgets.example.com"]


async def test_a_definition_is_copied_without_the_annotations_of_its_cluster() -> None:
    found = await pulled(cluster([resource("widgets")], [custom("widgets")]))
    (definition,) = found.definitions
    assert definition["metadata"] == {"name": "widgets.example.com", "annotations": {"team": "a"}}
    assert definition["spec"] == custom("widgets")["spec"]
    assert found.reduced == {}


async def test_a_malformed_definition_does_not_keep_the_others_from_being_applied(
    kcp_cluster: LogicalCluster, tmp_path: Path
) -> None:
    malformed, sound = custom("widgets", scope=3), definition("gadgets", "Gadget")
    kubeconfig = tmp_path / "source"
    async with scripted(cluster([resource("widgets"), resource("gadgets")], [malformed, sound])) as server:
        kubeconfig.write_text(
            f"{{current-context: c, contexts: [{{name: c, context: {{cluster: c}}}}], "
            f"clusters: [{{name: c, cluster: {{server: '{server.url}'}}}}]}}"
        )
        arguments = ("--kubeconfig", str(kubeconfig), "--apply", "--to-kubeconfig", str(kcp_cluster.kubeconfig))
        done = await asyncio.to_thread(run, "crd-puller", *arguments)
    assert done.returncode == 1, done.stderr
    assert "refused widgets.example.com: " in done.stderr
    assert "gadgets.example.com applied" in done.stderr


async def test_malformed_labels_and_annotations_are_left_out() -> None:
    own = custom("widgets")
    own["metadata"] |= {"labels": 3, "annotations": {"team": "a", "number": 3, "deep": nested(100)}}
    (definition,) = (await pulled(cluster([resource("widgets")], [own]))).definitions
    assert definition["metadata"] == {"name": "widgets.example.com", "annotations": {"team": "a"}}


@pytest.mark.parametrize(("stored_is_served", "kept"), [(True, "v2"), (False, "v1")])
async def test_of_a_definition_with_a_conversion_webhook_one_version_is_kept(stored_is_served: bool, kept: str) -> None:
    own = custom("widgets", conversion={"strategy": "Webhook", "webhook": {"clientConfig": {"service": {}}}})
    own["spec"]["versions"][1]["served"] = stored_is_served
    found = await pulled(cluster([resource("widgets")], [own]))
    (definition,) = found.definitions
    assert definition["spec"]["versions"] == [{"name": kept, "served": True, "storage": True}]
    assert "conversion" not in definition["spec"]
    assert found.reduced["widgets.example.com"].startswith(f"only version {kept} is kept")


async def test_a_group_whose_schemas_are_refused_does_not_keep_others_from_being_pulled() -> None:
    widget = {
        "properties": {"spec": {"type": "object"}},
        "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Widget"}],
    }

    async def openapi(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/openapi/v3":
            return answer({"paths": {"apis/example.com/v1": {}, "apis/broken.com/v1": {}}})
        if "broken.com" in request.path:
            return refusal(503, "ServiceUnavailable")
        return answer({"components": {"schemas": {"Odd": 3, "Widget": widget}}})

    found = await pulled(cluster([resource("odds", "broken.com"), resource("widgets")], [], openapi))
    assert [each["metadata"]["name"] for each in found.definitions] == ["widgets.example.com"]
    assert "the cluster refuses /openapi/v3/apis/broken.com/v1" in found.skipped["odds.broken.com"]


@pytest.mark.parametrize("document", [{}, {"components": None}, {"components": {"schemas": 3}}])
async def test_a_document_without_schemas_has_none_of_the_kind(document: Schema) -> None:
    async def openapi(request: web.BaseRequest) -> web.StreamResponse:
        return answer({"paths": {"apis/example.com/v1": {}}} if request.path == "/openapi/v3" else document)

    found = await pulled(cluster([resource("widgets")], [], openapi))
    assert "publishes no OpenAPI schema of Widget" in found.skipped["widgets.example.com"]


async def test_a_server_that_answers_html_is_named_as_no_api_server() -> None:
    async def openapi(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<html>", content_type="text/html")

    with pytest.raises(TransportError, match=r"no JSON object \(text/html.*\): is this an API server"):
        await pulled(cluster([resource("widgets")], [], openapi))
