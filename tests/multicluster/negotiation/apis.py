"""Descriptions of small APIs, for tests of rules."""

from __future__ import annotations

from typing import Any

from kcp.multicluster.negotiation.api import UpdateStrategy
from kcp.multicluster.negotiation.rules import Offer
from kcp.multicluster.negotiation.specs import CommonSpec

Raw = dict[str, Any]


def fields(*names: str, version: str = "v1", **more: Any) -> Raw:
    """The fields of a description of widgets with these string properties in their spec."""
    properties = {name: {"type": "string"} for name in names}
    return {
        "groupVersion": {"group": "example.com", "version": version},
        "scope": "Namespaced",
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
        "openAPIV3Schema": with_spec({"type": "object", "properties": properties}),
        **more,
    }


def with_spec(spec: Raw) -> Raw:
    """A schema of an object with this schema of its spec."""
    return {"type": "object", "properties": {"spec": spec}}


def widgets(*names: str, **more: Any) -> CommonSpec:
    """A description of widgets."""
    return CommonSpec(fields(*names, **more))


def offer(
    name: str, spec: CommonSpec, strategy: UpdateStrategy = UpdateStrategy.UNPUBLISHED, *, settled: bool = False
) -> Offer:
    """What a cluster of this name offers."""
    return Offer(name, spec, strategy, settled)


def properties_of(spec: CommonSpec | None) -> set[str]:
    """The names of the properties of a description's spec."""
    assert spec is not None
    return set(spec.fields()["openAPIV3Schema"]["properties"]["spec"].get("properties", {}))
