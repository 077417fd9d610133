"""The base of the built-in types' strategies.

A built-in type of Kubernetes is a Go struct: null is the same as absent, and so is what is empty
(`kcp.api.protobuf.canonical_form`). Custom resources of groups other than Kubernetes' own do not have this rule.
"""

from __future__ import annotations

from collections.abc import Callable

from kcp.api import names, tables
from kcp.api.protobuf import canonical_form
from kcp.builtin.context import BuiltinContext
from kcp.builtin.fields import drop_nulls, text
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.types.strategies import Object, Strategy


class BuiltinStrategy(Strategy):
    """The strategy of a built-in type, and that of a type without rules of its own."""

    finalizers_need_domain = True

    def __init__(self, context: BuiltinContext) -> None:
        self.context = context

    def type_of_subresource(self, name: str) -> Callable[[], ResourceType] | None:  # noqa: ARG002
        """Return what makes the type of the objects that clients create through a subresource; None for the type itself."""
        return None

    def default(self, obj: Object) -> None:
        """Write the object as Go encodes it: without what is empty."""
        if not canonical_form.normalize(obj):
            drop_nulls(obj)


class PathSegmentNames(BuiltinStrategy):
    """A built-in type whose names may be any segment of a path (RBAC). A PUT may create its objects."""

    allow_create_on_update = True

    def name_errors(self, name: str) -> list[str]:
        return names.is_path_segment_name(name)


def age(obj: Object) -> str:
    """The age of an object, as a table shows it."""
    return tables.age(text(obj["metadata"], "creationTimestamp") or None)
