"""Bodies in Kubernetes protobuf.

``kubectl_bodies.json`` holds what kubectl 1.37 sent for ``create`` and ``auth can-i``, ``kube_answers.json`` what kube-apiserver
1.20 answered, in both forms.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.errors import StatusError
from kcp.api.protobuf import (
    MAGIC,
    decode_body,
    encode_body,
    encode_item,
    encode_list,
    encode_watch_event,
    known,
    roots,
    wire,
)
from kcp.api.protobuf.decoding import decode_message

RBAC = "rbac.authorization.k8s.io"
SENT = {
    name: base64.b64decode(body)
    for name, body in json.loads(Path(__file__).with_name("kubectl_bodies.json").read_text()).items()
}
ANSWERED = json.loads(Path(__file__).with_name("kube_answers.json").read_text())
MEANT: dict[str, Any] = {
    "configmap": {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": "settings", "namespace": "default"},
        "data": {"color": "blue", "empty": ""},
        "binaryData": {"blob": "AAFiaW5hcnn/"},
    },
    "namespace": {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "team-a"}},
    "secret": {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "login", "namespace": "default"},
        "data": {"password": "czNjcmV0"},
    },
    "serviceaccount": {
        "kind": "ServiceAccount",
        "apiVersion": "v1",
        "metadata": {"name": "robot", "namespace": "default"},
    },
    "role": {
        "kind": "Role",
        "apiVersion": f"{RBAC}/v1",
        "metadata": {"name": "reader", "namespace": "default"},
        "rules": [
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["settings"]}
        ],
    },
    "aggregated clusterrole": {
        "kind": "ClusterRole",
        "apiVersion": f"{RBAC}/v1",
        "metadata": {"name": "all"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"team": "a"}}]},
    },
    "resourcequota": {
        "kind": "ResourceQuota",
        "apiVersion": "v1",
        "metadata": {"name": "compute", "namespace": "default"},
        "spec": {
            "hard": {"count/configmaps": "10", "cpu": "1500m", "memory": "2Gi"},
            "scopes": ["NotTerminating"],
        },
    },
    "selfsubjectaccessreview": {
        "kind": "SelfSubjectAccessReview",
        "apiVersion": "authorization.k8s.io/v1",
        "spec": {"resourceAttributes": {"namespace": "default", "verb": "create", "resource": "configmaps"}},
        "status": {"allowed": False},
    },
    "tokenrequest": {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "spec": {"expirationSeconds": 3600},
        "status": {"token": ""},
    },
}


@pytest.mark.parametrize("name", MEANT)
def test_bodies_of_kubectl_decode_to_the_right_objects(name: str) -> None:
    assert decode_body(SENT[name]) == MEANT[name]


@pytest.mark.parametrize("name", SENT)
def test_encoding_and_decoding_an_object_keeps_it(name: str) -> None:
    obj = decode_body(SENT[name])
    assert decode_body(encode_body(obj)) == obj


def answered(name: str) -> tuple[bytes, Any]:
    """An answer of kube-apiserver in protobuf and in JSON."""
    return base64.b64decode(ANSWERED[name]["protobuf"]), ANSWERED[name]["json"]


@pytest.mark.parametrize("name", ["namespace", "status", "api", "apis_apps", "api_v1"])
def test_objects_of_kubernetes_are_equal_in_json_and_protobuf(name: str) -> None:
    body, obj = answered(name)
    shown = {"apiVersion": "", **obj}
    if not shown.get("metadata", True):
        del shown["metadata"]  # an empty message says nothing
    assert decode_body(body) == shown
    assert decode_body(encode_body(obj)) == shown


def test_a_list_has_the_shape_of_kubernetes() -> None:
    body, obj = answered("list")
    (item,) = obj["items"]
    item = {"kind": "Namespace", "apiVersion": "v1", **item}
    assert parts_of(encode_list("v1", "NamespaceList", obj["metadata"], [encode_item(item)])) == parts_of(body)


def parts_of(body: bytes) -> list[Any]:
    """A list's metadata and items as JSON, whatever zero values are written out."""
    envelope = {number: value for number, _, value in wire.fields(body.removeprefix(MAGIC))}
    assert isinstance(envelope[1], bytes)
    assert isinstance(envelope[2], bytes)
    found: list[Any] = [envelope[1]]
    for number, _, value in wire.fields(envelope[2]):
        assert isinstance(value, bytes)
        found.append((number, decode_message(value, "meta.ListMeta" if number == 1 else "core.Namespace")))
    return found


def test_a_watch_frame_has_the_shape_of_kubernetes() -> None:
    frame, event = answered("watch event")
    parts = {number: value for number, _, value in wire.fields(frame[4:])}
    assert isinstance(parts[2], bytes)
    ((_, _, body),) = wire.fields(parts[2])
    assert isinstance(body, bytes)
    assert decode_body(body) == event["object"]
    assert encode_watch_event("ADDED", body) == frame


def test_subjects_and_role_of_a_binding_arrive() -> None:
    binding = decode_body(SENT["rolebinding"])
    assert binding["roleRef"] == {"apiGroup": RBAC, "kind": "Role", "name": "reader"}
    assert [subject["kind"] for subject in binding["subjects"]] == ["User", "Group", "ServiceAccount"]


def test_every_kind_with_a_form_survives_a_round_trip() -> None:
    for api_version, kind, _ in roots():
        obj: dict[str, Any] = {"kind": kind, "apiVersion": api_version, "metadata": {"name": "x", "labels": {"a": "b"}}}
        if kind == "DeleteOptions":
            obj = {
                "kind": kind,
                "apiVersion": api_version,
                "gracePeriodSeconds": 0,
                "propagationPolicy": "Foreground",
            }
        elif kind == "Status":
            obj = {"kind": kind, "apiVersion": api_version, "message": "gone", "code": 410}
        elif kind.startswith("API"):
            obj = {"kind": kind, "apiVersion": api_version}
        decoded = decode_body(encode_body(obj))
        assert {name: decoded[name] for name in obj} == obj


def test_a_definition_keeps_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": False,
                "additionalProperties": False,
                "default": {"a": [1, None, "x"]},
                "properties": {"size": {"type": "integer", "minimum": 0.0, "maxLength": 3, "enum": [1, None]}},
            },
            "list": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        },
        "x-kubernetes-validations": [{"rule": "self.spec.size > 0", "optionalOldSelf": False}],
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    spec = {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [version],
    }
    obj = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "spec": spec}
    assert decode_body(encode_body(obj))["spec"] == spec


def test_times_keep_their_precision() -> None:
    spec = {"renewTime": "2024-05-01T10:00:00.123456Z", "leaseDurationSeconds": 15}
    meta = {"name": "a", "creationTimestamp": "2024-05-01T10:00:00Z"}
    lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": meta, "spec": spec}
    assert decode_body(encode_body(lease)) == lease


def test_times_before_1970_are_kept() -> None:
    spec = {"renewTime": "1969-12-31T23:59:58.500000Z"}
    lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": {"name": "a"}, "spec": spec}
    assert decode_body(encode_body(lease)) == lease


def test_a_year_has_four_digits() -> None:
    meta = {"name": "a", "creationTimestamp": "0001-01-01T00:00:02Z"}
    spec = {"acquireTime": "0999-12-31T23:59:59.000001Z", "renewTime": "0001-01-01T00:00:02.000000Z"}
    lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": meta, "spec": spec}
    assert decode_body(encode_body(lease)) == lease


def test_embedded_structs_are_their_owners_fields() -> None:
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    webhook = {
        "name": "a.example.com",
        "clientConfig": {"url": "https://a"},
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    obj = {
        "kind": "ValidatingWebhookConfiguration",
        "apiVersion": "admissionregistration.k8s.io/v1",
        "metadata": {"name": "a"},
        "webhooks": [webhook],
    }
    assert decode_body(encode_body(obj)) == obj


def test_an_unknown_field_is_dropped() -> None:
    raw = wire.pack_bytes(1, wire.pack_bytes(1, b"x")) + wire.pack_bytes(999, b"later")
    body = MAGIC + wire.pack_bytes(1, wire.pack_bytes(1, b"v1") + wire.pack_bytes(2, b"ConfigMap"))
    assert decode_body(body + wire.pack_bytes(2, raw))["metadata"] == {"name": "x"}


def test_kinds_without_a_form_are_refused_by_name() -> None:
    assert not known("apps/v1beta1", "Deployment")
    body = MAGIC + wire.pack_bytes(1, wire.pack_bytes(1, b"apps/v1beta1") + wire.pack_bytes(2, b"Deployment"))
    with pytest.raises(StatusError, match='kind "Deployment" in version "apps/v1beta1"') as refusal:
        decode_body(body)
    assert refusal.value.code == 400


@pytest.mark.parametrize("name", ["configmap", "role"])
def test_a_body_cut_short_is_a_bad_request_or_less_of_the_object(name: str) -> None:
    for length in range(len(SENT[name])):
        try:
            decode_body(SENT[name][:length])
        except StatusError as refusal:
            assert refusal.code == 400  # noqa: PT017 - most cuts are refused, those between fields are not


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused_with_a_status(data: bytes) -> None:
    of_type = wire.pack_bytes(1, wire.pack_bytes(1, b"v1") + wire.pack_bytes(2, b"Event"))
    for body in (data, MAGIC + data, MAGIC + of_type + wire.pack_bytes(2, data)):
        try:
            decode_body(body)
        except StatusError as refusal:
            assert refusal.code == 400  # noqa: PT017 - arbitrary bytes may be an object


def test_nesting_is_bounded() -> None:
    schema = b""
    for _ in range(500):
        schema = wire.pack_bytes(28, schema)
    version = wire.pack_bytes(4, wire.pack_bytes(1, schema))
    raw = wire.pack_bytes(2, wire.pack_bytes(7, version))
    of_type = wire.pack_bytes(1, b"apiextensions.k8s.io/v1") + wire.pack_bytes(2, b"CustomResourceDefinition")
    with pytest.raises(StatusError, match="nested more than 100 deep"):
        decode_body(MAGIC + wire.pack_bytes(1, of_type) + wire.pack_bytes(2, raw))


@settings(max_examples=100)
@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_keep_their_value(value: int) -> None:
    packed = wire.pack_varint(value)
    unpacked, position = wire.varint(packed, 0)
    assert (wire.signed(unpacked), position) == (value, len(packed))
