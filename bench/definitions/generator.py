"""Definitions like published ones, and objects of their types.

They have the constructs of real definitions: deep objects with descriptions, pod-template-like lists of every list type, enums,
patterns, alternatives (oneOf, anyOf, not), int-or-string fields, quantities, embedded resources, free-form fields, rules,
defaults, several versions, printer columns, selectable fields, scale and status subresources, short names and categories. The
same seed gives the same definitions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import orjson

Schema = dict[str, Any]
SIZES: Final = (8_000, 20_000, 40_000, 80_000, 150_000, 300_000, 600_000, 1_000_000)
"""Bytes of JSON, about; `_WEIGHTS` says how frequent each is."""
SMALL_SIZES: Final = (1_000,) * 8
_WEIGHTS: Final = (30, 30, 18, 12, 6, 2, 1, 1)
_GROUPS: Final = 60
_MOST_DEPTH: Final = 9
_MAX_RULE_DEPTH: Final = 4
"""The estimated cost of a rule grows with each list around it."""
_WORDS: Final = [
    "replicas", "selector", "template", "container", "image", "policy", "timeout", "endpoint", "backend",
    "certificate", "issuer", "route", "listener", "gateway", "filter", "header", "weight", "retry", "probe", "volume",
    "claim", "storage", "class", "secret", "reference", "namespace", "label", "annotation", "port", "protocol",
    "address", "status", "phase", "condition", "message", "reason", "observed", "generation", "schedule", "window",
    "retention", "bucket", "region",
]  # fmt: skip
_QUANTITY: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]"
    r"|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
_CONDITIONS: Final = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "default": [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "Pending",
            "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }
    ],
    "items": {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "message": {"type": "string", "maxLength": 32768},
            "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
            "reason": {"type": "string", "maxLength": 1024, "minLength": 1, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*)?$"},
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "type": {"type": "string", "maxLength": 316},
        },
    },
}


class Generator:
    """Makes one definition of about a wanted number of bytes."""

    def __init__(self, seed: int, sizes: Sequence[int] = SIZES) -> None:
        self._random = random.Random(seed)
        self._sizes = sizes
        self._left = 0

    def definition(self, number: int) -> dict[str, Any]:
        """One definition; its size is drawn from the distribution."""
        size = self._random.choices(self._sizes, _WEIGHTS)[0]
        name = f"{self._random.choice(_WORDS)}{number}"
        group = f"group{number % _GROUPS}.example.com"
        count = self._random.choice((1, 1, 1, 2, 3))
        versions = [self._version(f"v{index + 1}", size // count, storage=index == 0) for index in range(count)]
        if count > 1:
            versions[-1] |= {"deprecated": True, "deprecationWarning": f"{group}/v{count} is deprecated; use v1"}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {
                "name": f"{name}s.{group}",
                "annotations": {"controller-gen.kubebuilder.io/version": "v0.16.5"},
            },
            "spec": {
                "group": group,
                "scope": self._random.choice(("Namespaced", "Namespaced", "Cluster")),
                "conversion": {"strategy": "None"},
                "names": {
                    "plural": f"{name}s",
                    "singular": name,
                    "kind": name.capitalize(),
                    "listKind": f"{name.capitalize()}List",
                    "shortNames": [f"s{number}"],
                    "categories": ["all", f"category{number % 7}"],
                },
                "versions": versions,
            },
        }

    def _version(self, name: str, size: int, *, storage: bool) -> dict[str, Any]:
        self._left = size
        spec = self._object(depth=0)
        while self._left > 0:
            spec["properties"].update(self._object(depth=1)["properties"])
        spec["properties"]["replicas"] = {"type": "integer", "format": "int32", "minimum": 0, "default": 1}
        spec["properties"]["mode"] = {"type": "string", "enum": ["One", "Two"], "default": "One"}
        spec["x-kubernetes-validations"] = [
            {"rule": "!has(self.replicas) || self.replicas < 1000", "message": "too many replicas"},
            {"rule": "!has(oldSelf.replicas) || has(self.replicas)", "message": "replicas cannot be removed"},
        ]
        status = {
            "type": "object",
            "properties": {
                "conditions": _CONDITIONS,
                "replicas": {"type": "integer"},
                "labelSelector": {"type": "string"},
            },
        }
        return {
            "name": name,
            "served": True,
            "storage": storage,
            "subresources": {
                "status": {},
                "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.labelSelector",
                },
            },
            "selectableFields": [{"jsonPath": ".spec.mode"}],
            "additionalPrinterColumns": [
                {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "description": self._text(12),
                    "required": ["spec"],
                    "properties": {
                        "apiVersion": {"type": "string", "description": self._text(30)},
                        "kind": {"type": "string", "description": self._text(30)},
                        "metadata": {"type": "object"},
                        "spec": spec,
                        "status": status,
                    },
                }
            },
        }

    def _object(self, depth: int) -> Schema:
        names = self._random.sample(_WORDS, self._random.randint(3, 9))
        properties = {f"{name}{self._random.randint(1, 99)}": self._any(depth + 1) for name in names}
        made: Schema = {"type": "object", "description": self._text(15), "properties": properties}
        if self._random.random() < 0.4:
            made["required"] = sorted(self._random.sample(list(properties), 2))
        return made

    def _any(self, depth: int) -> Schema:
        if depth > _MOST_DEPTH or self._left <= 0 or self._random.random() < 0.55:
            made = self._scalar()
        else:
            forms: tuple[Callable[[int], Schema], ...] = (
                *(self._object, self._object, self._list, self._list, self._map, self._embedded, self._free),
                *(self._ruled, self._choice, self._exclusive, self._set, self._atomic),
            )
            made = self._random.choice(forms)(depth)
        made["description"] = self._text(18)
        self._left -= 120 + len(made["description"])
        return made

    def _scalar(self) -> Schema:
        return self._random.choice(
            (
                {"type": "string"},
                {"type": "string", "minLength": 1, "maxLength": 253, "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
                {"type": "string", "enum": self._random.sample(_WORDS, 4)},
                {"type": "string", "format": "date-time", "nullable": True},
                {"type": "string", "default": self._random.choice(_WORDS), "maxLength": 63},
                {"type": "boolean"},
                {"type": "number", "multipleOf": 0.5, "maximum": 10},
                {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
                {"type": "integer", "format": "int64"},
                {
                    "anyOf": [{"type": "integer"}, {"type": "string"}],
                    "x-kubernetes-int-or-string": True,
                    "pattern": _QUANTITY,
                },
                {"x-kubernetes-int-or-string": True},
            )
        ).copy()

    def _list(self, depth: int) -> Schema:
        items = self._object(depth)
        items["properties"]["name"] = {"type": "string", "maxLength": 63}
        items["required"] = ["name"]
        keys = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        return {"type": "array", "maxItems": 16, "items": items, **keys}

    def _atomic(self, depth: int) -> Schema:
        return {"type": "array", "maxItems": 16, "items": self._object(depth), "x-kubernetes-list-type": "atomic"}

    def _set(self, _depth: int) -> Schema:
        items = {"type": "string", "maxLength": 63}
        return {"type": "array", "maxItems": 64, "items": items, "x-kubernetes-list-type": "set"}

    def _map(self, depth: int) -> Schema:
        return {"type": "object", "maxProperties": 16, "additionalProperties": self._any(depth + 1)}

    def _embedded(self, _depth: int) -> Schema:
        return {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}

    def _free(self, _depth: int) -> Schema:
        return self._random.choice(
            ({"x-kubernetes-preserve-unknown-fields": True}, {"type": "object", "x-kubernetes-map-type": "atomic"})
        ).copy()

    def _choice(self, depth: int) -> Schema:
        made = self._object(depth)
        first, second, *_ = made["properties"]
        neither = {"not": {"anyOf": [{"required": [first]}, {"required": [second]}]}}
        return {**made, "required": [], "oneOf": [neither, {"required": [first]}, {"required": [second]}]}

    def _exclusive(self, depth: int) -> Schema:
        made = self._object(depth)
        first, second, *_ = made["properties"]
        return {**made, "not": {"required": [first, second]}, "allOf": [{"maxProperties": 20}], "required": []}

    def _ruled(self, depth: int) -> Schema:
        made = self._object(depth)
        if depth > _MAX_RULE_DEPTH:
            return made
        made["properties"]["mode"] = {"type": "string", "enum": ["One", "Two"], "default": "One"}
        made["properties"]["limit"] = {"type": "integer", "maximum": 100}
        made["x-kubernetes-validations"] = [
            {"rule": "self.mode == 'One' ? !has(self.limit) : true", "message": "limit goes with mode Two"},
            {
                "rule": "!has(self.limit) || self.limit > 0",
                "messageExpression": "'no limit in mode ' + self.mode",
                "reason": "FieldValueForbidden",
                "fieldPath": ".limit",
            },
        ]
        return made

    def _text(self, words: int) -> str:
        return " ".join(self._random.choices(_WORDS, k=words)).capitalize() + "."


class Sample(NamedTuple):
    """A generated definition as JSON, so that it takes no part in the garbage collections of a server in this process."""

    name: str
    body: bytes
    collection: str
    """The path of its objects in the first version, in the namespace ``default``."""
    api_version: str
    kind: str
    content: bytes
    """The JSON of a valid object, without apiVersion, kind and metadata: the required fields only."""

    def object(self, name: str) -> dict[str, Any]:
        """A valid object."""
        head = {"apiVersion": self.api_version, "kind": self.kind, "metadata": {"name": name}}
        return {**orjson.loads(self.content), **head}


def samples(count: int, seed: int = 1, sizes: Sequence[int] = SIZES) -> list[Sample]:
    """This many definitions, no two alike."""
    return [_sample(Generator(seed * 1_000_003 + number, sizes).definition(number)) for number in range(count)]


def _sample(definition: dict[str, Any]) -> Sample:
    spec, version = definition["spec"], definition["spec"]["versions"][0]
    namespace = "/namespaces/default" if spec["scope"] == "Namespaced" else ""
    api_version = f"{spec['group']}/{version['name']}"
    return Sample(
        definition["metadata"]["name"],
        orjson.dumps(definition),
        f"/apis/{api_version}{namespace}/{spec['names']['plural']}",
        api_version,
        spec["names"]["kind"],
        orjson.dumps(_value(version["schema"]["openAPIV3Schema"])),
    )


def _value(schema: Schema) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("x-kubernetes-embedded-resource"):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    if schema.get("format") == "date-time":
        return "2026-01-01T00:00:00Z"
    if schema.get("type") == "object":
        return {name: _value(schema["properties"][name]) for name in schema.get("required", ())}
    return {"array": [], "string": "a", "boolean": True, "number": 1}.get(schema.get("type", ""), 1)
