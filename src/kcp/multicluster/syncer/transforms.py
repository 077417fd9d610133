"""The copy of an object: what is applied downstream, and what comes up from there as annotations. Pure functions.

The copy leaves out what belongs to the server that has the object: its status, its metadata but the name, labels and annotations,
owner references and finalizers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from kcp.api.object_fields import fields_at, strings_at
from kcp.client import APIResource
from kcp.multicluster.placement import GROUP, LOCATOR_ANNOTATION, MARK_LABEL
from kcp.multicluster.syncer.comparisons import digest
from kcp.multicluster.syncer.kinds import KindRules, kinds
from kcp.multicluster.syncer.ownership import Identity, annotations_of, metadata_of

GENERATION_ANNOTATION: Final = f"{GROUP}/generation"
"""The annotation of a copy: the generation upstream that it shows."""
DIGEST_ANNOTATION: Final = f"{GROUP}/digest"
"""The annotation of a copy: the digest of what was applied."""
FIELD_PREFIX: Final = f"cluster.{GROUP}/"
"""The start of annotations upstream that have what the cluster decided."""
_SHOWN: Final = 16 * 1024
"""Characters of the longest annotation. A longer one is none that Kubernetes makes, and would take the room of the others."""
_OWN_DOMAIN: Final = "kcp.io"


def is_internal(key: str) -> bool:
    """Return whether a label or annotation is kcp's own."""
    domain, slash, _ = key.partition("/")
    return bool(slash) and (domain == _OWN_DOMAIN or domain.endswith(f".{_OWN_DOMAIN}"))


def copy_of(source: Mapping[str, Any], identity: Identity, rules: KindRules, resource: APIResource) -> dict[str, Any]:
    """Return the apply configuration of the copy of an object. ``resource`` is that of the copy."""
    meta = metadata_of(source)
    namespace, name = str(meta["namespace"]), str(meta["name"])
    made = copy.deepcopy({field: value for field, value in source.items() if field not in ("metadata", "status")})
    made |= {"apiVersion": resource.api_version, "kind": resource.kind}
    for path in rules.omitted:
        for field in list(fields_at(made, path)):
            del field.holder[field.name]
    _rename_references(made, rules)
    omitted = kinds().omitted_annotations
    annotations = {
        key: value for key, value in annotations_of(source).items() if not is_internal(key) and key not in omitted
    }
    made["metadata"] = {
        "name": rules.copy_name(name),
        "namespace": identity.namespace(namespace),
        "labels": {
            **{key: value for key, value in (meta.get("labels") or {}).items() if not is_internal(key)},
            MARK_LABEL: identity.cluster_uid,
        },
        "annotations": {
            **annotations,
            LOCATOR_ANNOTATION: identity.locator(namespace, name, str(meta.get("uid") or "")).encode(),
        },
    }
    if isinstance(meta.get("generation"), int):
        made["metadata"]["annotations"][GENERATION_ANNOTATION] = str(meta["generation"])
    made["metadata"]["annotations"][DIGEST_ANNOTATION] = digest(made)
    return made


def applied_digest(api_object: Mapping[str, Any]) -> str:
    """Return the digest of what was applied, of an apply configuration or of a copy."""
    return str(annotations_of(api_object).get(DIGEST_ANNOTATION) or "")


def _rename_references(made: dict[str, Any], rules: KindRules) -> None:
    for resource, paths in rules.references.items():
        named = kinds().rules.get(resource)
        if named is None or not named.names:
            continue
        for path in paths:
            for field in fields_at(made, path):
                if isinstance(field.value, str):
                    field.holder[field.name] = named.copy_name(field.value)


def references_of(source: Mapping[str, Any], rules: KindRules) -> Iterator[tuple[str, str]]:
    """Yield the resources and names of the objects that an object names."""
    for resource, paths in rules.references.items():
        for path in paths:
            for name in strings_at(source, path):
                yield resource, name


def exclusion_of(source: Mapping[str, Any], rules: KindRules) -> str:
    """Return why an object cannot be copied; empty if it can."""
    excluded = rules.excluded
    if excluded is None:
        return ""
    found = next((value for value in strings_at(source, excluded.path) if value in excluded.values), None)
    return "" if found is None else f"an object whose {excluded.path} is {found} is not copied: {excluded.reason}"


def field_annotations(live: Mapping[str, Any], rules: KindRules) -> dict[str, str]:
    """Return the annotations that show upstream what the cluster decided for a copy."""
    found: dict[str, str] = {}
    for word, path in rules.fields.items():
        values = [field.value for field in fields_at(live, path) if field.value not in ("", None)]
        if not values:
            continue
        value = values if "[]" in path else values[0]
        shown = value if isinstance(value, str) else orjson.dumps(value).decode()
        if len(shown) <= _SHOWN:
            found[FIELD_PREFIX + word] = shown
    return found
