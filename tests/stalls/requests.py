"""The requests: each is legal HTTP of legal size, made to cost the server as much as possible.

A request is declared with what must be there before it. Bodies are made when they are needed: some take megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support import objects
from tests.support.objects import DEFINITIONS

JSON: Final = "application/json"
YAML: Final = "application/yaml"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"

MAPS: Final = "/api/v1/namespaces/default/configmaps"
SECRETS: Final = "/api/v1/namespaces/default/secrets"
ACCOUNTS: Final = "/api/v1/namespaces/default/serviceaccounts"
WIDGETS: Final = "/apis/example.com/v1/namespaces/default/widgets"

Make = Callable[[], Any]


@dataclass(frozen=True)
class Call:
    """One request. ``body`` makes bytes, or data to send as JSON."""

    method: str
    path: str
    body: Make | None = None
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    def content(self) -> bytes | None:
        """The body as it is sent."""
        if self.body is None:
            return None
        made = self.body()
        return made if isinstance(made, bytes) else json.dumps(made, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Attack:
    """A request to measure, the requests that prepare it, and the expected status codes."""

    name: str
    call: Call
    before: Sequence[Call] = ()
    answers: frozenset[int] = frozenset({200, 201, 400, 409, 413, 415, 422})
    largest_answer: int = 8 * 1024 * 1024
    """Bytes. A response with each of a hundred thousand errors would use up the server's memory too."""
    place: str = ""
    """The logical cluster that is prepared for several attacks; "" is one of its own."""
    everywhere: bool = False
    gone: str = ""
    """Whether the request spans all logical clusters, and the path that answers 404 when the controllers have done their part."""


def config_map(name: str = "a", /, **more: Any) -> dict[str, Any]:
    """A ConfigMap; ``metadata`` is merged into its own."""
    meta = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **more}


def widget(name: str = "a", **more: Any) -> dict[str, Any]:
    """An object of `definition`."""
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, **more}


def definition(schema: dict[str, Any] | None = None, plural: str = "widgets", **version: Any) -> dict[str, Any]:
    """A CustomResourceDefinition with one version; ``schema`` is that of ``spec``."""
    kind = plural.removesuffix("s").capitalize()
    spec = schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    found = {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}
    return objects.definition(plural, kind, schema=found, version=version)


def define(schema: dict[str, Any] | None = None, **version: Any) -> Call:
    """The request that defines Widgets."""
    return Call("POST", DEFINITIONS, lambda: definition(schema, **version))


def create(make: Make, path: str = MAPS) -> Call:
    """A POST."""
    return Call("POST", path, make)


SMALL: Final = create(config_map)
ANYTHING: Final = define()


def strings(count: int) -> list[str]:
    """Different short strings."""
    return [f"s{number:06}" for number in range(count)]


def numbers(count: int, value: Any = 1) -> dict[str, Any]:
    """A map with many keys."""
    return {f"k{number:06}": value for number in range(count)}


def of(type_: str, **more: Any) -> dict[str, Any]:
    """A schema."""
    return {"type": type_, **more}


def spec_of(**properties: Any) -> dict[str, Any]:
    """The schema of a spec with these properties."""
    return of("object", properties=properties)


def wide_schema(count: int) -> dict[str, Any]:
    """An object with many properties."""
    return of("object", properties={name: of("string", description="x" * 20) for name in strings(count)})


def deep_schema(levels: int) -> dict[str, Any]:
    """Objects in objects."""
    found: dict[str, Any] = of("string")
    for _ in range(levels):
        found = of("object", properties={"a": found})
    return found


def nested(levels: int) -> bytes:
    """Lists in lists."""
    return (
        b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":' + b"[" * levels + b"]" * levels + b"}"
    )


def patch(operations: list[dict[str, Any]]) -> Make:
    """A JSON patch."""
    return lambda: operations


def apply_of(make: Make, path: str, manager: str = "m") -> Call:
    """A server-side apply."""
    return Call("PATCH", f"{path}?fieldManager={manager}&force=true", make, APPLY)


def selector(terms: Sequence[str]) -> str:
    """A label selector as a query parameter."""
    return "labelSelector=" + "%2C".join(terms)


LISTS: Final = define(spec_of(list=of("array", items=of("integer"))))
BIG_LIST: Final = create(lambda: widget(spec={"list": [1] * 1_400_000}), WIDGETS)
ENUM: Final = define(spec_of(items=of("array", items=of("string", enum=strings(10_000)))))
SETS: Final = define(spec_of(set=of("array", items=of("string"), **{"x-kubernetes-list-type": "set"})))
MAPS_LIST: Final = define(
    spec_of(
        map=of(
            "array",
            items=of("object", required=["name"], properties={"name": of("string"), "v": of("integer")}),
            **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        )
    )
)
KEYED: Final = define(spec_of(map=of("object", additionalProperties=of("string"))))


def keyed(count: int) -> list[dict[str, Any]]:
    """Items of a list map."""
    return [{"name": name, "v": 1} for name in strings(count)]


def rules(count: int, rule: str = "self.size() >= 0") -> dict[str, Any]:
    """A schema with many rules."""
    properties = {
        name: of("string", maxLength=10, **{"x-kubernetes-validations": [{"rule": rule}]}) for name in strings(count)
    }
    return of("object", properties=properties)


METADATA: Final = [
    Attack("labels with bad values", create(lambda: config_map(metadata={"labels": numbers(90_000, "not good!")}))),
    Attack("labels that are no strings", create(lambda: config_map(metadata={"labels": numbers(90_000, 1)}))),
    Attack(
        "labels with bad keys", create(lambda: config_map(metadata={"labels": {f"{k}!": "v" for k in strings(90_000)}}))
    ),
    Attack(
        "annotations with bad keys",
        create(lambda: config_map(metadata={"annotations": {f"{k}!": "" for k in strings(180_000)}})),
    ),
    Attack("annotations", create(lambda: config_map(metadata={"annotations": numbers(14_000, "v")}))),
    Attack("bad finalizers", create(lambda: config_map(metadata={"finalizers": [f"{k} !" for k in strings(100_000)]}))),
    Attack("finalizers", create(lambda: config_map(metadata={"finalizers": [f"a.b/{k}" for k in strings(100_000)]}))),
    Attack("one finalizer often", create(lambda: config_map(metadata={"finalizers": ["a.b/c"] * 200_000}))),
    Attack(
        "owner references without a member",
        create(lambda: config_map(metadata={"ownerReferences": [{"name": k} for k in strings(50_000)]})),
    ),
    Attack(
        "owner references to nobody",
        create(
            lambda: config_map(
                metadata={
                    "ownerReferences": [
                        {"apiVersion": "v1", "kind": "ConfigMap", "name": k, "uid": k} for k in strings(25_000)
                    ]
                }
            )
        ),
    ),
    Attack(
        "one owner reference often",
        create(
            lambda: config_map(
                metadata={
                    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "u"}] * 30_000
                }
            )
        ),
    ),
    Attack(
        "several controllers",
        create(
            lambda: config_map(
                metadata={
                    "ownerReferences": [
                        {"apiVersion": "v1", "kind": "ConfigMap", "name": k, "uid": k, "controller": True}
                        for k in strings(20_000)
                    ]
                }
            )
        ),
    ),
    Attack(
        "managed fields of many managers",
        create(
            lambda: config_map(
                metadata={
                    "managedFields": [
                        {
                            "manager": k,
                            "operation": "Update",
                            "apiVersion": "v1",
                            "fieldsType": "FieldsV1",
                            "fieldsV1": {"f:data": {f"f:{k}": {}}},
                        }
                        for k in strings(15_000)
                    ]
                }
            )
        ),
    ),
    Attack("a long name", create(lambda: config_map("a" * 2_900_000))),
    Attack("a long namespace", Call("POST", "/api/v1/namespaces", lambda: {"metadata": {"name": "a" * 2_900_000}})),
    Attack("a long label", create(lambda: config_map(metadata={"labels": {"a": "b" * 2_900_000}}))),
]

BODIES: Final = [
    Attack("unknown fields", create(lambda: config_map(**dict.fromkeys(strings(40000), 1)))),
    Attack("many unknown fields", create(lambda: config_map(**dict.fromkeys(strings(200000), 1)))),
    Attack(
        "unknown fields, strict", Call("POST", MAPS + "?fieldValidation=Strict", lambda: config_map(**numbers(200_000)))
    ),
    Attack("unknown fields in metadata", create(lambda: config_map(metadata=numbers(150_000)))),
    Attack("data values that are no strings", create(lambda: config_map(data=numbers(150_000)))),
    Attack("data with bad keys", create(lambda: config_map(data={f"{k}/": "" for k in strings(150_000)}))),
    Attack("data", create(lambda: config_map(data=numbers(150_000, "v")))),
    Attack("binary data that is not base64", create(lambda: config_map(binaryData=numbers(150_000, "!!")))),
    Attack(
        "a Secret that is not base64",
        create(lambda: {"metadata": {"name": "a"}, "data": numbers(150_000, "!!")}, SECRETS),
    ),
    Attack("a Secret", create(lambda: {"metadata": {"name": "a"}, "stringData": numbers(140_000, "v")}, SECRETS)),
    Attack(
        "secrets of a service account",
        create(lambda: {"metadata": {"name": "a"}, "secrets": [{"name": k} for k in strings(120_000)]}, ACCOUNTS),
    ),
    Attack(
        "duplicate fields",
        create(lambda: b'{"kind":"ConfigMap",' + b'"data":{},' * 280_000 + b'"metadata":{"name":"a"}}'),
    ),
    Attack(
        "duplicate data keys",
        create(lambda: b'{"metadata":{"name":"a"},"data":{' + b'"a":"b",' * 300_000 + b'"a":"b"}}'),
    ),
    Attack("deep lists", create(lambda: nested(1_000_000))),
    Attack("lists as deep as allowed", create(lambda: nested(150))),
    Attack("a long number", create(lambda: b'{"metadata":{"name":"a"},"data":{"a":' + b"1" * 2_900_000 + b"}}")),
    Attack("a long string", create(lambda: config_map(data={"a": "b" * 2_900_000}))),
    Attack("escapes", create(lambda: b'{"metadata":{"name":"a"},"data":{"a":"' + b"\\u00e4" * 480_000 + b'"}}')),
    Attack("white space", create(lambda: b" " * 3_000_000 + b"{}")),
    Attack("no JSON", create(lambda: b"{" * 3_000_000)),
    Attack("a list of a million", create(lambda: [1] * 1_400_000)),
]

YAML_BODIES: Final = [
    Attack("aliases of a long string", Call("POST", MAPS, lambda: _aliases(400_000, 3_000), YAML)),
    Attack("many aliases", Call("POST", MAPS, lambda: _aliases(100_000, 50_000), YAML)),
    Attack("aliases of aliases", Call("POST", MAPS, lambda: _laughs(12), YAML)),
    Attack("merge keys", Call("POST", MAPS, lambda: _merges(2_000), YAML)),
    Attack("YAML lines", Call("POST", MAPS, lambda: _yaml_data(100_000), YAML)),
    Attack("deep YAML", Call("POST", MAPS, lambda: b"a: " + b"[" * 1_000_000, YAML)),
    Attack("deep YAML blocks", Call("POST", MAPS, lambda: b"".join(b" " * n + b"a:\n" for n in range(2_000)), YAML)),
    Attack("many documents", Call("POST", MAPS, lambda: b"---\na: b\n" * 250_000, YAML)),
    Attack(
        "many anchors", Call("POST", MAPS, lambda: b"".join(b"a%d: &a%d b\n" % (n, n) for n in range(120_000)), YAML)
    ),
    Attack("a folded scalar", Call("POST", MAPS, lambda: b"a: >\n" + b"  b\n" * 700_000, YAML)),
    Attack("duplicate YAML keys", Call("POST", MAPS, lambda: b"a: b\n" * 500_000, YAML)),
]


def _aliases(length: int, count: int) -> bytes:
    return b"x: &a " + b"b" * length + b"\ny: [" + b"*a," * count + b"]\n"


def _laughs(levels: int) -> bytes:
    lines = [b"a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [b"a%d: &a%d [" % (n, n) + b",".join([b"*a%d" % (n - 1)] * 9) + b"]" for n in range(1, levels)]
    return b"\n".join(lines)


def _merges(count: int) -> bytes:
    wide = b"m: &m {" + b",".join(b"k%d: v" % n for n in range(2_000)) + b"}\n"
    return wide + b"".join(b"x%d: {<<: *m}\n" % n for n in range(count))


def _yaml_data(count: int) -> bytes:
    return b"metadata:\n  name: a\ndata:\n" + b"".join(b"  k%06d: value\n" % n for n in range(count))


SCHEMAS: Final = [
    Attack(
        "items that no enum has",
        create(lambda: widget(spec={"items": ["none"] * 1_000}), WIDGETS),
        [ENUM],
    ),
    Attack(
        "many items that no enum has",
        create(lambda: widget(spec={"items": strings(250_000)}), WIDGETS),
        [ENUM],
    ),
    Attack("a large set", create(lambda: widget(spec={"set": strings(150_000)}), WIDGETS), [SETS]),
    Attack("a set of one item", create(lambda: widget(spec={"set": ["a"] * 300_000}), WIDGETS), [SETS]),
    Attack("a large list map", create(lambda: widget(spec={"map": keyed(100_000)}), WIDGETS), [MAPS_LIST]),
    Attack(
        "a list map of one key", create(lambda: widget(spec={"map": [{"name": "a"}] * 150_000}), WIDGETS), [MAPS_LIST]
    ),
    Attack("list map items without a key", create(lambda: widget(spec={"map": [{}] * 500_000}), WIDGETS), [MAPS_LIST]),
    Attack("a list of integers", create(lambda: widget(spec={"list": [1] * 1_400_000}), WIDGETS), [LISTS]),
    Attack("a list of wrong items", create(lambda: widget(spec={"list": ["a"] * 700_000}), WIDGETS), [LISTS]),
    Attack("a map", create(lambda: widget(spec={"map": numbers(150_000, "v")}), WIDGETS), [KEYED]),
    Attack("a map of wrong values", create(lambda: widget(spec={"map": numbers(150_000, 1)}), WIDGETS), [KEYED]),
    Attack("anything", create(lambda: widget(spec=numbers(150_000, [1])), WIDGETS), [ANYTHING]),
    Attack("unknown fields of a custom resource", create(lambda: widget(spec=numbers(150_000)), WIDGETS), [LISTS]),
    Attack(
        "a pattern over a long string",
        create(lambda: widget(spec={"a": "a" * 2_900_000}), WIDGETS),
        [define(spec_of(a=of("string", pattern="^(a+)+$")))],
    ),
    Attack(
        "a rule over a large list",
        create(lambda: widget(spec={"list": [1] * 1_000}), WIDGETS),
        [
            define(
                spec_of(
                    list=of(
                        "array",
                        items=of("integer"),
                        maxItems=1_000,
                        **{"x-kubernetes-validations": [{"rule": "self.all(x, self.exists(y, y == x))"}]},
                    )
                )
            )
        ],
    ),
]


def _many_names() -> dict[str, Any]:
    found = definition()
    found["spec"]["names"]["shortNames"] = strings(150_000)
    return found


def _many_versions(count: int) -> dict[str, Any]:
    found = definition()
    (version,) = found["spec"]["versions"]
    found["spec"]["versions"] += [
        {**version, "name": f"v{number}beta1", "storage": False} for number in range(1, count)
    ]
    return found


NEW_DEFINITIONS: Final = [
    Attack(
        "a definition with a large default",
        define(spec_of(a=of("array", items=of("integer"), default=[1] * 1_200_000))),
    ),
    Attack(
        "a definition with many defaults",
        define(of("object", properties={k: of("integer", default=1) for k in strings(40_000)})),
    ),
    Attack("a definition with many properties", define(wide_schema(30_000))),
    Attack("a deep definition", define(deep_schema(150))),
    Attack(
        "a definition with many selectable fields",
        define(spec_of(a=of("string")), selectableFields=[{"jsonPath": f".spec.{k}"} for k in strings(5_000)]),
    ),
    Attack("a definition with many rules", define(rules(5_000))),
    Attack("a definition with wrong rules", define(rules(5_000, "self.x > "))),
    Attack("a definition with a long rule", define(rules(1, " && ".join(["self.size() > 0"] * 20_000)))),
    Attack(
        "a definition with many columns",
        define(
            spec_of(a=of("string")),
            additionalPrinterColumns=[{"name": k, "type": "string", "jsonPath": ".spec.a"} for k in strings(30_000)],
        ),
    ),
    Attack("a definition with a large enum", define(spec_of(a=of("string", enum=strings(200_000))))),
    Attack("a definition with one value often", define(spec_of(a=of("string", enum=["a"] * 500_000)))),
    Attack("a definition with unknown members", define(of("object", **numbers(150_000)))),
    Attack("a definition with many required fields", define(of("object", required=strings(200_000)))),
    Attack("a definition with many short names", Call("POST", DEFINITIONS, _many_names)),
    Attack("a definition with many versions", Call("POST", DEFINITIONS, lambda: _many_versions(3_000))),
]


ONE: Final = WIDGETS + "/a"

PATCHES: Final = [
    Attack(
        "moves to the front of a long list",
        Call(
            "PATCH",
            ONE,
            patch([{"op": "move", "from": "/spec/list/1399999", "path": "/spec/list/0"}] * 10_000),
            JSON_PATCH,
        ),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "adds at the front of a long list",
        Call("PATCH", ONE, patch([{"op": "add", "path": "/spec/list/0", "value": 1}] * 10_000), JSON_PATCH),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "removes from the front of a long list",
        Call("PATCH", ONE, patch([{"op": "remove", "path": "/spec/list/0"}] * 10_000), JSON_PATCH),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "copies of copies",
        Call("PATCH", ONE, patch([{"op": "copy", "from": "/spec", "path": "/spec/a"}] * 60), JSON_PATCH),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "copies of a long list",
        Call(
            "PATCH",
            ONE,
            patch([{"op": "copy", "from": "/spec/list", "path": f"/spec/l{n}"} for n in range(1_000)]),
            JSON_PATCH,
        ),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "tests of a long list",
        Call("PATCH", ONE, patch([{"op": "test", "path": "/spec/list", "value": []}] * 10_000), JSON_PATCH),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "a long path",
        Call("PATCH", ONE, patch([{"op": "add", "path": "/a" * 900_000, "value": 1}]), JSON_PATCH),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "too many operations",
        Call("PATCH", ONE, patch([{"op": "test", "path": "", "value": 1}] * 60_000), JSON_PATCH),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "a small patch of a large object",
        Call("PATCH", ONE, lambda: {"spec": {"a": 1}}, MERGE_PATCH),
        [ANYTHING, BIG_LIST],
    ),
    Attack(
        "a large merge patch",
        Call("PATCH", ONE, lambda: {"spec": numbers(150_000)}, MERGE_PATCH),
        [ANYTHING, create(lambda: widget(spec={}), WIDGETS)],
    ),
    Attack(
        "a merge patch of nulls",
        Call("PATCH", ONE, lambda: {"spec": numbers(150_000, None)}, MERGE_PATCH),
        [ANYTHING, create(lambda: widget(spec=numbers(90_000)), WIDGETS)],
    ),
    Attack(
        "a strategic merge patch of a list",
        Call("PATCH", ACCOUNTS + "/a", lambda: {"secrets": [{"name": k} for k in strings(60_000)]}, STRATEGIC),
        [create(lambda: {"metadata": {"name": "a"}, "secrets": [{"name": k} for k in strings(60_000)]}, ACCOUNTS)],
    ),
    Attack(
        "an order of many items",
        Call(
            "PATCH",
            ACCOUNTS + "/a",
            lambda: {
                "$setElementOrder/secrets": [{"name": k} for k in reversed(strings(20_000))],
                "secrets": [{"name": k} for k in strings(20_000)],
            },
            STRATEGIC,
        ),
        [create(lambda: {"metadata": {"name": "a"}, "secrets": [{"name": k} for k in strings(20_000)]}, ACCOUNTS)],
    ),
    Attack(
        "deletes from a primitive list",
        Call(
            "PATCH",
            MAPS + "/a",
            lambda: {"metadata": {"$deleteFromPrimitiveList/finalizers": strings(150_000)}},
            STRATEGIC,
        ),
        [create(lambda: config_map(metadata={"finalizers": [f"a.b/{k}" for k in strings(20_000)]}))],
    ),
    Attack("an apply of many keys", apply_of(lambda: config_map(data=numbers(100_000, "v")), MAPS + "/a")),
    Attack(
        "an apply of many keys over many",
        apply_of(lambda: config_map(data=numbers(100_000, "w")), MAPS + "/a"),
        [apply_of(lambda: config_map(data=numbers(100_000, "v")), MAPS + "/a", "n")],
    ),
    Attack("an apply of a large list map", apply_of(lambda: widget(spec={"map": keyed(80_000)}), ONE), [MAPS_LIST]),
    Attack("an apply of a large set", apply_of(lambda: widget(spec={"set": strings(150_000)}), ONE), [SETS]),
    Attack("an apply of an undeclared field", apply_of(lambda: widget(spec=numbers(150_000)), ONE), [LISTS]),
    Attack(
        "an update of a large object",
        Call("PUT", MAPS + "/a", lambda: config_map(data=numbers(90_000, "w"))),
        [create(lambda: config_map(data=numbers(90_000, "v")))],
    ),
]

SELECTORS: Final = [
    Attack(
        "a label selector of many terms", Call("GET", f"{MAPS}?{selector([f'k{n}' for n in range(3_000)])}"), [SMALL]
    ),
    Attack(
        "a label selector of many values",
        Call("GET", f"{MAPS}?{selector(['a+in+(' + '%2C'.join(strings(5_000)) + ')'])}"),
        [SMALL],
    ),
    Attack(
        "a field selector of many terms",
        Call("GET", f"{MAPS}?fieldSelector=" + "%2C".join(["metadata.name!=b"] * 2_000)),
        [SMALL],
    ),
    Attack("a selector that is none", Call("GET", f"{MAPS}?labelSelector=" + "%21" * 20_000), [SMALL]),
    Attack(
        "many query parameters",
        Call("GET", f"{MAPS}?" + "&".join(f"a{n}=b" for n in range(10_000))),
        [SMALL],
        frozenset({200, 400}),
    ),
    Attack("a large limit", Call("GET", f"{MAPS}?limit=9223372036854775807"), [SMALL]),
    Attack("a long continue token", Call("GET", f"{MAPS}?continue=" + "A" * 60_000), [SMALL]),
    Attack(
        "a table of a large object",
        Call("GET", MAPS, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}),
        [create(lambda: config_map(data=numbers(90_000, "v")))],
    ),
    Attack(
        "a large object, pretty",
        Call("GET", f"{MAPS}/a?pretty=true"),
        [create(lambda: config_map(data=numbers(90_000, "v")))],
        largest_answer=12 * 1024 * 1024,
    ),
    Attack(
        "a large object as YAML",
        Call("GET", f"{MAPS}/a", headers={"Accept": YAML}),
        [create(lambda: config_map(data=numbers(90_000, "v")))],
        largest_answer=12 * 1024 * 1024,
    ),
    Attack(
        "an Accept header of many types",
        Call("GET", f"{MAPS}/a", headers={"Accept": ",".join(["a/b;q=0.1"] * 8_000)}),
        [SMALL],
        frozenset({200, 400, 406, 431}),
    ),
]

ATTACKS: Final = [*METADATA, *BODIES, *YAML_BODIES, *SCHEMAS, *NEW_DEFINITIONS, *PATCHES, *SELECTORS]
