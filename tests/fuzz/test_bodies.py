"""Random and pathological bodies: JSON, YAML, protobuf, patches, definitions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import CONFIG_MAPS, FUZZED, TWICE_FUZZED, WIDGETS, Target, words
from tests.support.clients import JSON
from tests.support.objects import DEFINITIONS, config_map, definition

YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
LARGEST = 3 * 1024 * 1024

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["v1", "ConfigMap", "a", "default", "Widget", "example.com/v1", "2024-01-01T00:00:00Z", "1Gi"])
)
FIELDS = st.sampled_from(
    words(
        "apiVersion kind metadata name namespace labels annotations finalizers ownerReferences uid "
        "resourceVersion managedFields creationTimestamp deletionTimestamp generation generateName selfLink "
        "data binaryData immutable spec status size tags parts id any either $patch "
        "$setElementOrder/finalizers $retainKeys $deleteFromPrimitiveList/finalizers controller"
    )
) | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=5), max_leaves=15
)
METADATA = st.dictionaries(FIELDS, ANYTHING, max_size=5)
OBJECTS = st.fixed_dictionaries(
    {}, optional={"metadata": METADATA, "data": ANYTHING, "spec": ANYTHING, "status": ANYTHING}
)
PLACES = st.sampled_from(
    [CONFIG_MAPS, WIDGETS, "/api/v1/namespaces", "/apis/rbac.authorization.k8s.io/v1/clusterroles"]
)


@FUZZED
@given(PLACES, OBJECTS | ANYTHING)
def test_any_json_object(target: Target, place: str, obj: Any) -> None:
    target.ask("POST", place + "?dryRun=All", json.dumps(obj).encode())


BUILT_IN = words(
    "/api/v1/namespaces/default/secrets /api/v1/namespaces/default/events "
    "/api/v1/namespaces/default/limitranges /api/v1/namespaces/default/resourcequotas "
    "/api/v1/namespaces/default/serviceaccounts /apis/events.k8s.io/v1/namespaces/default/events "
    "/apis/coordination.k8s.io/v1/namespaces/default/leases "
    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles "
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings "
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations "
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations "
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies "
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings "
    "/apis/authentication.k8s.io/v1/tokenreviews /apis/authorization.k8s.io/v1/subjectaccessreviews "
    "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews "
    "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews "
    "/apis/certificates.k8s.io/v1/certificatesigningrequests /apis/apiregistration.k8s.io/v1/apiservices"
)
BUILT_IN_FIELDS = st.sampled_from(
    words(
        "type data stringData immutable spec hard scopes scopeSelector matchExpressions operator values "
        "limits max min default defaultRequest maxLimitRequestRatio secrets imagePullSecrets involvedObject "
        "regarding reportingController reportingInstance action reason eventTime series count holderIdentity "
        "leaseDurationSeconds acquireTime rules verbs apiGroups resources nonResourceURLs subjects roleRef "
        "webhooks clientConfig caBundle url service sideEffects admissionReviewVersions operations "
        "validations expression matchConstraints resourceRules policyName validationActions paramKind request "
        "signerName usages user groups token audiences resourceAttributes nonResourceAttributes group version "
        "groupPriorityMinimum versionPriority name namespace kind apiVersion apiGroup aggregationRule "
        "clusterRoleSelectors matchLabels note expirationSeconds"
    )
)
BUILT_IN_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BUILT_IN_FIELDS, inner, max_size=6),
    max_leaves=20,
)


@TWICE_FUZZED
@given(st.sampled_from(BUILT_IN), st.dictionaries(BUILT_IN_FIELDS, BUILT_IN_VALUES, max_size=6))
def test_any_object_of_a_built_in_type(target: Target, place: str, fields: dict[str, Any]) -> None:
    fields.pop("kind", None)
    fields.pop("apiVersion", None)
    target.ask("POST", place + "?dryRun=All", {**fields, "metadata": {"name": "fuzzed"}})


@FUZZED
@given(st.sampled_from([JSON, YAML, PROTOBUF, *PATCHES]), st.binary(max_size=200))
def test_any_bytes(target: Target, media_type: str, body: bytes) -> None:
    if media_type in PATCHES:
        target.ask("PATCH", f"{CONFIG_MAPS}/there?dryRun=All&fieldManager=f", body, media_type=media_type)
    else:
        target.ask("POST", CONFIG_MAPS + "?dryRun=All", body, media_type=media_type)


@FUZZED
@given(st.binary(max_size=60), st.sampled_from(["v1 ConfigMap", "v1 Namespace", "v1 Secret"]))
def test_any_bytes_in_a_protobuf_envelope(target: Target, body: bytes, kind: str) -> None:
    version, name = kind.encode().split()
    meta = b"\x0a" + bytes([len(version)]) + version + b"\x12" + bytes([len(name)]) + name
    envelope = b"k8s\x00\x0a" + bytes([len(meta)]) + meta + b"\x12" + bytes([len(body)]) + body
    place = "/api/v1/namespaces" if name == b"Namespace" else CONFIG_MAPS
    target.ask("POST", place + "?dryRun=All", envelope, media_type=PROTOBUF)


@FUZZED
@given(st.text("{}[]:,-&*!|>'\"#%@` \nab01~<?", max_size=80))
def test_any_text_as_yaml(target: Target, text: str) -> None:
    target.ask("POST", CONFIG_MAPS + "?dryRun=All", text.encode(), media_type=YAML)


def aliases(width: int, depth: int) -> bytes:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, depth)]
    return ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n" + "\n".join(lines)).encode()


def nested(opening: str, closing: str, depth: int) -> bytes:
    return (
        '{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"deep"},"spec":{"any":'
        + opening * depth
        + "1"
        + closing * depth
        + "}}"
    ).encode()


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        (YAML, aliases(9, 12)),
        (YAML, b"a: &a\n  b: *a\n"),
        (YAML, b"&a [*a]"),
        (YAML, b"a: !!python/object/apply:os.system ['true']"),
        (YAML, b"{a: 1, a: 2}"),
        (YAML, b"a: 1\n---\nb: 2\n"),
        (YAML, b"[" * 200_000),
        (YAML, b"- " * 100_000),
        (YAML, b"a: " * 50_000),
        (YAML, b"? " * 100_000),
        (YAML, b"a: .nan"),
        (YAML, b"\xff\xfe\x00"),
        (YAML, b"a: *none"),
        (JSON, nested("[", "]", 20_000)),
        (JSON, nested('{"a":', "}", 20_000)),
        (JSON, nested("[", "", 1_000_000)),
        (JSON, b"[" * LARGEST),
        (JSON, b'{"a":1e999}'),
        (JSON, b'{"a":NaN}'),
        (JSON, b'{"a":' + b"9" * 100_000 + b"}"),
        (JSON, b'{"a":"\\ud800"}'),
        (JSON, b'\xef\xbb\xbf{"a":1}'),
        (JSON, b'{"a":1} x'),
        (JSON, b"{'a':1}"),
        (JSON, b""),
        (JSON, b"null"),
        (JSON, b'"ConfigMap"'),
        (PROTOBUF, b"k8s\x00"),
        (PROTOBUF, b"k8s\x00" + b"\xff" * 100),
        (PROTOBUF, b"{}"),
        (PROTOBUF, b"k8s\x00" + b"\x0a\xff\xff\xff\xff\x7f" + b"a" * 10),
        (PROTOBUF, b"k8s\x00" + b"\x0b" * 50_000),
    ],
)
def test_pathological_bodies_are_refused(target: Target, media_type: str, body: bytes) -> None:
    for place in (CONFIG_MAPS, WIDGETS):
        target.refused("POST", place, body, media_type=media_type)


@pytest.mark.parametrize(
    ("media_type", "place"), [(JSON, CONFIG_MAPS), (YAML, CONFIG_MAPS), (PROTOBUF, CONFIG_MAPS), (JSON, WIDGETS)]
)
def test_a_byte_over_the_limit_is_413(target: Target, media_type: str, place: str) -> None:
    status = target.refused("POST", place, b"x" * (LARGEST + 1), media_type=media_type)
    assert (status["code"], status["reason"]) == (413, "RequestEntityTooLarge")


def test_the_limit_itself_is_read(target: Target) -> None:
    obj = config_map("large", a="")
    body = json.dumps(obj).encode()
    filled = json.dumps(config_map("large", a="x" * (LARGEST - len(body)))).encode()
    assert len(filled) == LARGEST
    status = target.refused("POST", CONFIG_MAPS, filled)
    assert (status["code"], status["reason"]) == (422, "Invalid")


def test_duplicate_fields_are_named(target: Target) -> None:
    body = (
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"twice","name":"thrice"},"data":{"a":"1","a":"2"}}'
    )
    message = target.refused("POST", CONFIG_MAPS + "?fieldValidation=Strict", body)["message"]
    assert 'duplicate field "metadata.name"' in message
    assert 'duplicate field "data.a"' in message


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        (JSON_PATCH, [{"op": "add", "path": "/data/x", "value": "y"}] * 10_001),
        (
            JSON_PATCH,
            [
                {"op": "add", "path": "/data/a", "value": "y" * 1000},
                *[{"op": "copy", "from": "/data", "path": "/data/b"}] * 30,
            ],
        ),
        (JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "2"}]),
        (JSON_PATCH, [{"op": "remove", "path": "/none"}]),
        (JSON_PATCH, [{"op": "move", "from": "/data", "path": "/data/inner"}]),
        (JSON_PATCH, [{"op": "add", "path": "data", "value": 1}]),
        (JSON_PATCH, [{"op": "add", "path": "/metadata/finalizers/99999999999999", "value": "a/b"}]),
        (JSON_PATCH, [{"op": "replace", "path": "", "value": 1}]),
        (JSON_PATCH, [{"op": "replace", "path": "", "value": None}]),
        (JSON_PATCH, [{"op": "explode", "path": "/data"}]),
        (JSON_PATCH, [1]),
        (JSON_PATCH, {}),
        (MERGE_PATCH, []),
        (MERGE_PATCH, {"metadata": []}),
        (MERGE_PATCH, {"metadata": {"name": "other"}}),
        (MERGE_PATCH, {"kind": "Secret"}),
        (MERGE_PATCH, {"data": {"a": {"b": {}}}}),
        (STRATEGIC_PATCH, {"$patch": "explode"}),
        (STRATEGIC_PATCH, {"metadata": {"finalizers": {"a": 1}}}),
        (STRATEGIC_PATCH, {"metadata": {"$setElementOrder/finalizers": "a"}}),
        (STRATEGIC_PATCH, {"metadata": {"$deleteFromPrimitiveList/finalizers": {"a": 1}}}),
        (STRATEGIC_PATCH, {"metadata": {"$retainKeys": "x"}}),
        (APPLY_PATCH, []),
        (
            APPLY_PATCH,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there", "managedFields": [{"manager": 1}]}},
        ),
        (APPLY_PATCH, {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "there"}}),
        (
            APPLY_PATCH,
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there", "ownerReferences": [{}, {}]}},
        ),
    ],
)
def test_invalid_patches_are_refused(target: Target, media_type: str, patch: Any) -> None:
    target.refused("PATCH", f"{CONFIG_MAPS}/there?fieldManager=f", patch, media_type=media_type)


def test_copies_that_double_the_object_are_stopped(target: Target) -> None:
    before = target.memory
    patch = [{"op": "add", "path": "/spec", "value": {"any": {"x": "y" * 10_000}}}]
    patch += [{"op": "copy", "from": "/spec/any", "path": f"/spec/any/c{number}"} for number in range(40)]
    made = target.ask(
        "POST", WIDGETS, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "copied"}}
    )
    assert made.status == 201
    target.refused("PATCH", f"{WIDGETS}/copied", patch, media_type=JSON_PATCH)
    assert target.memory - before < 64 * 1024 * 1024


POINTERS = st.lists(
    st.sampled_from(["metadata", "data", "spec", "a", "0", "-", "~0", "~1", "~", "", "name", "labels"]), max_size=4
).map(lambda parts: "".join(f"/{part}" for part in parts))
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": POINTERS | ANYTHING},
        optional={"from": POINTERS | ANYTHING, "value": ANYTHING},
    ),
    max_size=4,
)


@TWICE_FUZZED
@given(OPERATIONS | ANYTHING)
def test_any_json_patch(target: Target, patch: Any) -> None:
    target.ask(
        "PATCH", f"{CONFIG_MAPS}/there?dryRun=All", patch if patch is not None else b"null", media_type=JSON_PATCH
    )


@TWICE_FUZZED
@given(st.sampled_from([MERGE_PATCH, STRATEGIC_PATCH]), OBJECTS | ANYTHING)
def test_any_merge_patch(target: Target, media_type: str, patch: Any) -> None:
    body = json.dumps(patch).encode()
    target.ask("PATCH", f"{CONFIG_MAPS}/there?dryRun=All", body, media_type=media_type)
    target.ask("PATCH", f"{WIDGETS}/none?dryRun=All", body, media_type=media_type)


@TWICE_FUZZED
@given(OBJECTS, st.booleans())
def test_any_applied_object(target: Target, obj: dict[str, Any], force: bool) -> None:
    query = f"dryRun=All&fieldManager=f&force={str(force).lower()}"
    metadata = {**obj.pop("metadata", {}), "name": "there"}
    whole = {"apiVersion": "v1", "kind": "ConfigMap", **obj, "metadata": metadata}
    target.ask("PATCH", f"{CONFIG_MAPS}/there?{query}", whole, media_type=APPLY_PATCH)
    target.ask(
        "PATCH",
        f"{WIDGETS}/there?{query}",
        {**whole, "apiVersion": "example.com/v1", "kind": "Widget"},
        media_type=APPLY_PATCH,
    )


KEYWORDS = st.sampled_from(
    words(
        "type properties items required additionalProperties default enum pattern minimum maximum minLength "
        "maxItems format nullable allOf anyOf oneOf not x-kubernetes-validations x-kubernetes-list-type "
        "x-kubernetes-list-map-keys x-kubernetes-map-type x-kubernetes-preserve-unknown-fields "
        "x-kubernetes-int-or-string x-kubernetes-embedded-resource $ref rule message multipleOf uniqueItems "
        "exclusiveMinimum description title a b"
    )
)
TERMS = st.sampled_from(
    [
        "object",
        "array",
        "string",
        "integer",
        "number",
        "boolean",
        "map",
        "set",
        "atomic",
        "granular",
        "^a",
        "(",
        "[a-z",
        "self.a > 1",
        "self",
        "oldSelf.a",
        "self.all(x, x)",
        "(" * 300,
        "1 +",
        "#/a",
        "date-time",
        "a",
    ]
)
SCHEMAS = st.recursive(
    SCALARS | TERMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=5),
    max_leaves=25,
)


@TWICE_FUZZED
@given(st.dictionaries(KEYWORDS, SCHEMAS, max_size=6))
def test_any_schema(target: Target, schema: dict[str, Any]) -> None:
    whole = {"type": "object", "properties": {"spec": schema}}
    target.ask("POST", DEFINITIONS + "?dryRun=All", definition("fuzzes", "Fuzz", schema=whole))
    target.ask("POST", DEFINITIONS + "?dryRun=All", definition("fuzzes", "Fuzz", schema=schema or whole))


@TWICE_FUZZED
@given(
    st.dictionaries(
        st.sampled_from(["group", "scope", "names", "versions", "conversion", "preserveUnknownFields"]),
        ANYTHING,
        max_size=6,
    )
)
def test_any_definition(target: Target, spec: dict[str, Any]) -> None:
    target.ask("POST", DEFINITIONS + "?dryRun=All", definition("fuzzes", "Fuzz", group="example.com") | {"spec": spec})


def deep_schema(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(" * 5000}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a{1000}){1000}"}}},
        {"type": "object", "x-kubernetes-validations": [{"rule": "self.a" + ".a" * 5000}]},
        {"type": "object", "x-kubernetes-validations": [{"rule": "[" * 5000}]},
        {"type": "object", "x-kubernetes-validations": [{"rule": "1 + " * 5000 + "1"}]},
        {
            "type": "object",
            "properties": {"a": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}},
            "x-kubernetes-validations": [{"rule": "self.a.all(x, self.a.all(y, self.a.all(z, x == y && y == z)))"}],
        },
        {"$ref": "#/"},
        deep_schema(400),
    ],
    ids=["parentheses", "repetitions", "path", "brackets", "sum", "cost", "reference", "depth"],
)
def test_pathological_schemas_are_refused(target: Target, schema: dict[str, Any]) -> None:
    target.refused("POST", DEFINITIONS, definition("traps", "Trap", schema=schema))


def test_memory_does_not_grow_with_refused_bodies(target: Target) -> None:
    bodies = [
        (YAML, aliases(9, 12)),
        (JSON, nested("[", "]", 20_000)),
        (JSON, b"[" * LARGEST),
        (JSON, b"x" * (LARGEST + 1)),
    ]

    def bombard(rounds: int) -> None:
        for _ in range(rounds):
            for media_type, body in bodies:
                target.refused("POST", WIDGETS, body, media_type=media_type)

    bombard(5)
    before = target.memory
    bombard(15)
    assert target.memory - before < 16 * 1024 * 1024
