"""The description of an API in imports and negotiated resources, and the CustomResourceDefinition that serves it.

Both kinds have these fields in their spec: group and version, scope, names, schema, subresources, printer columns and selectable
fields of one version of a resource.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from kcp.api.kinds import version_order
from kcp.multicluster.crd_puller import APPROVED, name_of
from kcp.multicluster.negotiation.columns import computed_columns_annotation, computed_columns_of
from kcp.multicluster.negotiation.merging import merging_as
from kcp.schema.definitions.name_validation import APPROVAL_ANNOTATION, is_protected_group
from kcp.schema.raw_schemas import Definition, Raw, flag, objects, schema, text

_NAMES: Final = ("plural", "singular", "kind", "listKind", "shortNames", "categories")
_PRINTED: Final = ("shortNames", "categories", "columnDefinitions", "computedColumns")
"""The fields that say how kubectl finds and prints objects, and nothing of the objects."""
_SCALE_PATHS: Final = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
_DEFAULT_SCALE: Final = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
_ANYTHING: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
COMMON_FIELDS: Final = (
    "groupVersion",
    "scope",
    *_NAMES,
    "openAPIV3Schema",
    "subResources",
    "columnDefinitions",
    "computedColumns",
    "selectableFields",
)
"""The fields of the spec that describe the API; the others are instructions of users."""


class CommonSpec:
    """The description of one version of a resource, immutable. Equal descriptions have equal digests."""

    __slots__ = ("__weakref__", "data", "digest")

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Take the description from the fields of a spec. Other fields, and empty ones, are left out."""
        described = {name: fields[name] for name in COMMON_FIELDS if fields.get(name)}
        self.data = bytes(memoryview(orjson.dumps(described, option=orjson.OPT_SORT_KEYS)))
        self.digest = hashlib.blake2b(self.data, digest_size=16).hexdigest()

    def fields(self) -> dict[str, Any]:
        """Return the fields: a new copy, which the caller may change."""
        decoded: dict[str, Any] = orjson.loads(self.data)
        return decoded

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CommonSpec) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"CommonSpec({self.digest[:8]})"


def specs_of(definition: Definition) -> dict[str, CommonSpec]:
    """Return the descriptions of the served versions of a definition, by version."""
    spec = schema(definition, "spec") or {}
    served = [version for version in objects(spec.get("versions")) if flag(version, "served")]
    computed = computed_columns_of(schema(definition, "metadata") or {})
    return {text(version, "name"): CommonSpec(_fields_of(spec, version, computed)) for version in served}


def _fields_of(spec: Raw, version: Raw, computed: Mapping[str, Raw]) -> Raw:
    names = schema(spec, "names") or {}
    fields: Raw = {
        "groupVersion": {"group": text(spec, "group"), "version": text(version, "name")},
        "scope": text(spec, "scope"),
        **{name: names[name] for name in _NAMES if names.get(name)},
        "openAPIV3Schema": schema(schema(version, "schema") or {}, "openAPIV3Schema") or _ANYTHING,
        "subResources": _entries_of(schema(version, "subresources") or {}),
        "columnDefinitions": objects(version.get("additionalPrinterColumns")),
        "computedColumns": computed.get(text(version, "name")),
        "selectableFields": objects(version.get("selectableFields")),
    }
    fields.setdefault("singular", text(names, "kind").lower())
    fields.setdefault("listKind", f"{text(names, 'kind')}List")
    if flag(spec, "preserveUnknownFields"):  # an API that is served without a schema, since v1beta1 of definitions
        fields["openAPIV3Schema"] = _ANYTHING
    return fields


def _entries_of(subresources: Raw) -> list[Raw]:
    """The list of subresources of a definition's version, status first."""
    found: list[Raw] = []
    if schema(subresources, "status") is not None:
        found.append({"name": "status"})
    scale = schema(subresources, "scale")
    if scale is not None:
        found.append({"name": "scale", **{path: scale[path] for path in _SCALE_PATHS if scale.get(path)}})
    return found


def definition_of_spec(spec: CommonSpec) -> Definition:
    """Return the definition that serves one description, and nothing else."""
    return definition_of_specs([spec])


def definition_of_specs(specs: Sequence[CommonSpec]) -> Definition:
    """Return the definition that serves descriptions of several versions of a resource.

    Names and scope are those of the preferred version, which is the storage version. Raises ValueError without any.
    """
    fields = sorted((spec.fields() for spec in specs), key=_version_order)
    if not fields:
        raise ValueError("a definition needs a version")
    first = fields[0]
    group = text(first.get("groupVersion") or {}, "group")
    metadata: Raw = {"name": name_of(group, text(first, "plural"))}
    annotations = computed_columns_annotation({_version_name(each): each.get("computedColumns") for each in fields})
    if is_protected_group(group):
        annotations[APPROVAL_ANNOTATION] = APPROVED
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": group,
            "scope": text(first, "scope"),
            "names": {name: first[name] for name in _NAMES if name in first},
            "versions": [_version_of(each, storage=each is first) for each in fields],
            "conversion": {"strategy": "None"},
        },
    }


def _version_order(fields: Raw) -> tuple[int, int, int, int, str]:
    return version_order(_version_name(fields))


def _version_name(fields: Raw) -> str:
    return text(fields.get("groupVersion") or {}, "version")


def _version_of(fields: Raw, *, storage: bool) -> Raw:
    """The version of a definition that serves a description."""
    version: Raw = {
        "name": _version_name(fields),
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema(fields, "openAPIV3Schema") or _ANYTHING},
    }
    if subresources := _subresources_of(objects(fields.get("subResources"))):
        version["subresources"] = subresources
    for field, name in (("additionalPrinterColumns", "columnDefinitions"), ("selectableFields", "selectableFields")):
        if fields.get(name):
            version[field] = fields[name]
    return version


def _subresources_of(entries: Iterable[Raw]) -> Raw:
    found: Raw = {}
    for entry in entries:
        name = text(entry, "name")
        paths = {path: text(entry, path) for path in _SCALE_PATHS if text(entry, path)}
        found[name] = {**_DEFAULT_SCALE, **paths} if name == "scale" else {}
    return found


def presented_as(spec: CommonSpec, model: CommonSpec) -> CommonSpec:
    """Return a description with the names for kubectl and the printer columns of another one, and merging as that does.

    See `merging_as` for merging. Names and columns make no cluster unable to run the objects.
    """
    fields, other = spec.fields(), model.fields()
    found = {name: value for name, value in fields.items() if name not in _PRINTED}
    found |= {name: other[name] for name in _PRINTED if name in other}
    schemas = (schema(each, "openAPIV3Schema") or {} for each in (found, other))
    return CommonSpec({**found, "openAPIV3Schema": merging_as(*schemas)})
