"""Responses to bodies that are not objects of their type.

A whole object that does not decode is a 400. A patch is checked by decoding what it makes of the object: the object was right,
so the patch is invalid, 422 on the field ``patch``. What is no amount in a ResourceQuota is a matter of decoding no less than a
number in a ConfigMap. Codes and fields as kube-apiserver v1.20 answers them; ``fieldValidation`` as in later ones.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.objects import DEFINITIONS, definition
from tests.support.running_server import RunningServer

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
QUOTAS = "/api/v1/namespaces/default/resourcequotas"
LIMITS = "/api/v1/namespaces/default/limitranges"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
SECRETS = "/api/v1/namespaces/default/secrets"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"

GOOD: dict[str, dict[str, Any]] = {
    CONFIG_MAPS: {"data": {"a": "b"}},
    QUOTAS: {"spec": {"hard": {"pods": "5"}}},
    LIMITS: {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}}]}},
    LEASES: {"spec": {"leaseTransitions": 1}},
    SECRETS: {"data": {"a": "YQ=="}},
}
BAD = [
    pytest.param(CONFIG_MAPS, {"data": {"a": 1}}, "cannot unmarshal number", id="a number for a text"),
    pytest.param(CONFIG_MAPS, {"data": "x"}, "cannot unmarshal string", id="a text for a map"),
    pytest.param(CONFIG_MAPS, {"metadata": {"labels": {"a": 1}}}, "cannot unmarshal number", id="a label"),
    pytest.param(QUOTAS, {"spec": {"hard": {"pods": "abc"}}}, "quantities must match", id="a quantity"),
    pytest.param(QUOTAS, {"spec": {"hard": {"pods": ""}}}, "quantities must match", id="an empty quantity"),
    pytest.param(QUOTAS, {"spec": {"hard": {"pods": True}}}, "cannot unmarshal bool", id="a boolean for a quantity"),
    pytest.param(
        LIMITS,
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "xx"}}]}},
        "spec.limits[0].max[cpu]: quantities must match",
        id="a quantity in a list",
    ),
    pytest.param(LEASES, {"spec": {"leaseTransitions": 1.5}}, "spec.leaseTransitions", id="a fraction for an integer"),
    pytest.param(LEASES, {"spec": {"leaseTransitions": 99999999999}}, "int32", id="too large a number"),
    pytest.param(LEASES, {"spec": {"renewTime": "yesterday"}}, "renewTime", id="a time"),
    pytest.param(SECRETS, {"data": {"a": "***"}}, "data.a", id="base64"),
]


def named(body: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**body, "metadata": {"name": "one", **metadata, **body.get("metadata", {})}}


@pytest.mark.parametrize(("path", "bad", "why"), BAD)
def test_a_whole_object_is_refused_with_400(
    server: RunningServer, cluster: str, path: str, bad: dict[str, Any], why: str
) -> None:
    first = server.post(cluster + path, named(GOOD[path]))
    assert first.status == 201
    revision = first.json["metadata"]["resourceVersion"]  # Leases cannot be replaced without
    created = server.post(cluster + path, {**bad, "metadata": {"name": "two", **bad.get("metadata", {})}})
    replaced = server.ask("PUT", f"{cluster}{path}/one", named(bad, resourceVersion=revision))
    for answer in (created, replaced):
        assert (answer.status, answer.json["reason"]) == (400, "BadRequest"), answer.json
        assert " cannot be handled as a " in answer.json["message"]
        assert why in answer.json["message"]


@pytest.mark.parametrize("media_type", [MERGE, STRATEGIC, JSON_PATCH])
@pytest.mark.parametrize(("path", "bad", "why"), BAD)
def test_a_patch_is_invalid(
    server: RunningServer, cluster: str, path: str, bad: dict[str, Any], why: str, media_type: str
) -> None:
    before = server.post(cluster + path, named(GOOD[path]))
    assert before.status == 201
    patch: Any = bad
    if media_type == JSON_PATCH:
        revision = before.json["metadata"]["resourceVersion"]
        whole = named(bad, resourceVersion=revision)
        patch = [{"op": "add", "path": f"/{name}", "value": value} for name, value in whole.items()]
    answer = server.ask("PATCH", f"{cluster}{path}/one", patch, Content_Type=media_type)
    assert (answer.status, answer.json["reason"]) == (422, "Invalid"), answer.json
    assert answer.json["message"].startswith(' "" is invalid: patch: Invalid value: ')
    assert " cannot be handled as a " not in answer.json["message"]
    (cause,) = answer.json["details"]["causes"]
    assert (cause["field"], cause["reason"]) == ("patch", "FieldValueInvalid")
    assert why in cause["message"]
    assert server.get(f"{cluster}{path}/one").json == before.json


def test_a_patch_of_a_custom_resource_too(server: RunningServer, cluster: str) -> None:
    """Its metadata has Go types; its other fields are validated by its schema."""
    size = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": size}}
    assert server.post(cluster + DEFINITIONS, definition("widgets", "Widget", schema=schema)).status == 201
    one = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "one"}}
    assert server.post(cluster + WIDGETS, one).status == 201
    for patch, field in (
        ({"metadata": "x"}, "patch"),
        ({"metadata": {"labels": {"a": 1}}}, "patch"),
        ({"kind": None}, "patch"),
        ({"kind": "Gadget"}, "kind"),
        ({"spec": {"size": "x"}}, "spec.size"),
    ):
        answer = server.ask("PATCH", f"{cluster}{WIDGETS}/one", patch, Content_Type=MERGE)
        assert answer.status == 422, answer.json
        assert [cause["field"] for cause in answer.json["details"]["causes"]] == [field]


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        (MERGE, {"metadata": None}),
        (STRATEGIC, {"metadata": None}),
        (MERGE, {"metadata": {"name": None}}),
        (JSON_PATCH, [{"op": "remove", "path": "/metadata"}]),
    ],
)
def test_an_object_must_keep_its_name(server: RunningServer, cluster: str, media_type: str, patch: Any) -> None:
    server.post(cluster + CONFIG_MAPS, named(GOOD[CONFIG_MAPS]))
    patched = server.ask("PATCH", f"{cluster}{CONFIG_MAPS}/one", patch, Content_Type=media_type)
    replaced = server.ask("PUT", f"{cluster}{CONFIG_MAPS}/one", GOOD[CONFIG_MAPS])
    for answer in (patched, replaced):
        assert answer.status == 400
        why = "the name of the object (one based on URL) was undeterminable: name must be provided"
        assert answer.json["message"] == why


def test_an_apply_configuration_may_leave_out_the_name_of_what_exists(server: RunningServer, cluster: str) -> None:
    server.post(cluster + CONFIG_MAPS, named(GOOD[CONFIG_MAPS]))
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"b": "c"}}
    for name, status in (("one", 200), ("two", 400)):
        path = f"{cluster}{CONFIG_MAPS}/{name}?fieldManager=x"
        assert server.ask("PATCH", path, applied, Content_Type=APPLY).status == status


def test_the_last_finalizer_of_a_namespace_leaves_nothing(server: RunningServer, cluster: str) -> None:
    server.post(f"{cluster}/api/v1/namespaces", {"metadata": {"name": "one"}})
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "one"}, "spec": {"finalizers": []}}
    answer = server.ask("PUT", f"{cluster}/api/v1/namespaces/one/finalize", bare)
    assert answer.status == 200
    assert answer.json["spec"] == {}
    assert server.get(f"{cluster}/api/v1/namespaces/one").json["spec"] == {}


@pytest.mark.parametrize("option", ["dryRun=Some", "fieldManager=%00", "fieldValidation=Some"])
def test_invalid_options_are_refused_before_the_body_is_decoded(
    server: RunningServer, cluster: str, option: str
) -> None:
    asked = [("POST", "", "application/json"), ("PUT", "/one", "application/json")]
    for method, name, media_type in [*asked, ("PATCH", "/one", MERGE), ("PATCH", "/one", APPLY)]:
        path = f"{cluster}{CONFIG_MAPS}{name}?{option}"
        answer = server.ask(method, path, b"{", Content_Type=media_type)
        assert (answer.status, answer.json["reason"]) == (422, "Invalid"), answer.json


TWICE = b'{"apiVersion":"%s","kind":"%s","metadata":{"name":"one"%s,"nope":1},"%s":{"a":"1","a":"2"},"more":2}'
FAULTS = ['duplicate field "%s.a"', 'unknown field "metadata.nope"', 'unknown field "more"']


@pytest.mark.parametrize("media_type", ["application/json", "application/yaml"])
@pytest.mark.parametrize("path", [CONFIG_MAPS, WIDGETS])
def test_field_validation_of_a_replacement(server: RunningServer, cluster: str, path: str, media_type: str) -> None:
    texts = {"type": "object", "properties": {"a": {"type": "string"}}}
    schema = {"type": "object", "properties": {"spec": texts}}
    server.post(cluster + DEFINITIONS, definition("widgets", "Widget", schema=schema))
    version, kind, part = ("v1", "ConfigMap", "data") if path == CONFIG_MAPS else ("example.com/v1", "Widget", "spec")
    one = {"apiVersion": version, "kind": kind, "metadata": {"name": "one"}, part: {"a": "0"}}
    assert server.post(cluster + path, one).status == 201
    faults = [FAULTS[0] % part, *FAULTS[1:]]

    def replace(validation: str) -> Any:
        revision = server.get(f"{cluster}{path}/one").json["metadata"]["resourceVersion"]
        pinned = b',"resourceVersion":"%s"' % revision.encode()
        body = TWICE % (version.encode(), kind.encode(), pinned, part.encode())
        query = f"?fieldValidation={validation}" if validation else ""
        return server.ask("PUT", f"{cluster}{path}/one{query}", body, Content_Type=media_type)

    strict = replace("Strict")
    assert strict.status == 400
    assert strict.json["message"].endswith(f"strict decoding error: {', '.join(faults)}")
    assert server.get(f"{cluster}{path}/one").json[part] == {"a": "0"}
    for validation, warnings in (("Ignore", []), ("Warn", faults), ("", faults)):
        answer = replace(validation)
        assert answer.status == 200
        assert answer.json[part] == {"a": "2"}
        assert "more" not in answer.json
        sent = answer.headers.get_all("Warning") or []
        assert sent == [f"299 - {json.dumps(fault)}" for fault in warnings]
