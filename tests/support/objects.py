"""Factories of objects that many tests write."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
"""Where CustomResourceDefinitions are written."""


def config_map(name: str, *, metadata: Object | None = None, **data: str) -> Object:
    """A ConfigMap; ``metadata`` comes beside its name."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **(metadata or {})},
        "data": data or {"a": "1"},
    }


def widget(name: str, size: int = 1, **metadata: Any) -> Object:
    """A Widget of example.com."""
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, **metadata},
        "spec": {"size": size},
    }


def definition(
    plural: str,
    kind: str,
    *,
    group: str = "example.com",
    schema: Object | None = None,
    version: Object | None = None,
    **spec: Any,
) -> Object:
    """A CustomResourceDefinition of one version; ``version`` and ``spec`` are further fields of the two."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    only = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema or anything}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": names,
            "versions": [{**only, **(version or {})}],
            **spec,
        },
    }
