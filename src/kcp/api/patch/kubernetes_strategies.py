"""Patch strategies of Kubernetes' own kinds where a CustomResourceDefinition defines them.

kube-apiserver has the strategies in Go's struct tags (``patchStrategy``, ``patchMergeKey``) and publishes them as OpenAPI
extensions, which a structural schema cannot contain. Here they come from the table of messages (`kcp.api.protobuf.messages`). The
schema of such a kind gets the extensions, for strategic merge patches and for the OpenAPI documents by which kubectl makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kcp.api.protobuf.messages import Field, json_fields

Schema = dict[str, Any]

_STRATEGY: Final = "x-kubernetes-patch-strategy"
_MERGE_KEY: Final = "x-kubernetes-patch-merge-key"
_LIST_TYPE: Final = "x-kubernetes-list-type"
_MERGED: Final = ("map", "set")


def with_patch_strategies(schema: Mapping[str, Any], message: str) -> Schema:
    """Return the structural schema of a message's objects with the strategies of its fields. Unchanged parts are shared.

    Of a field that the message does not have, the list type decides how strategic merge patches merge it.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return dict(schema)
    fields = json_fields(message)
    found = {name: _with_strategy(content, fields[name]) for name, content in properties.items() if name in fields}
    return {**schema, "properties": {**properties, **found}}


def _with_strategy(schema: Mapping[str, Any], field: Field) -> Schema:
    found = dict(schema)
    if "." in field.type:
        inner = "items" if field.repeated else "additionalProperties" if field.mapped else ""
        if not inner:
            found = with_patch_strategies(found, field.type)
        elif isinstance(found.get(inner), dict):
            found[inner] = with_patch_strategies(found[inner], field.type)
    if field.patch_strategy:
        found[_STRATEGY] = field.patch_strategy
    elif field.repeated and found.get(_LIST_TYPE) in _MERGED:
        found[_STRATEGY] = "replace"  # as without a strategy in Go, whatever the list type
    if field.merge_key:
        found[_MERGE_KEY] = field.merge_key
    return found
