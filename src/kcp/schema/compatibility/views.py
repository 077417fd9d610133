"""One side of a comparison: a schema at its place, with what the keywords mean together.

A structural schema says in several ways which values it accepts and which fields it keeps: by ``type`` or int-or-string, by
``properties``, ``additionalProperties`` or preserved unknown fields, and implicitly for the metadata of resources. A view gives
each of these one form.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

from kcp.api import json_values
from kcp.schema.compatibility.constraints import Constraints, constraints_of
from kcp.schema.formats import effective_format
from kcp.schema.raw_schemas import Raw, flag, properties, schema, schemas, strings, text

ANY: Final[Raw] = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
"""The schema of a preserved unknown field."""
ANY_EMPTIED: Final[Raw] = {"nullable": True}
"""The schema of a field under ``additionalProperties: true``: any value is accepted, and maps and lists in it are pruned."""

KINDS: Final = {
    "array": frozenset({"array"}),
    "boolean": frozenset({"boolean"}),
    "integer": frozenset({"integer"}),
    "number": frozenset({"integer", "number"}),
    "object": frozenset({"object"}),
    "string": frozenset({"string"}),
}
INT_OR_STRING: Final = frozenset({"integer", "string"})
_ALL: Final = frozenset({"array", "boolean", "integer", "number", "object", "string", "null"})
_TEXT: Final[Raw] = {"type": "string"}
_IMPLICIT: Final[dict[str, Raw]] = {"apiVersion": _TEXT, "kind": _TEXT, "metadata": {"type": "object"}}
_IMPLICIT_METADATA: Final[dict[str, Raw]] = {"name": _TEXT, "generateName": _TEXT}
_JUNCTORS: Final = ("allOf", "anyOf", "oneOf")
_COUNTING: Final = ("minProperties", "maxProperties", "enum")


class SchemaView:
    """A schema, and the validations of ``anyOf`` and the like of the schemas around it that reach it (``inherited``).

    ``role`` is "root", "metadata" (of the root or of an embedded resource) or empty. ``required`` says that every object has the
    property of this schema.
    """

    def __init__(self, raw: Raw, inherited: Sequence[Raw] = (), role: str = "", *, required: bool = False) -> None:
        self.raw = raw
        self.role = role
        self.required = required
        self._inherited = inherited

    def equals(self, other: SchemaView) -> bool:
        """Whether two schemas are equal at the same place, and nothing around them validates the values."""
        if self._inherited or other._inherited or (self.role, self.required) != (other.role, other.required):
            return False
        return json_values.equal(self.raw, other.raw)

    @cached_property
    def format(self) -> str:
        """The format as validation names it; a format that is not enforced as it is declared."""
        declared = text(self.raw, "format")
        types = ("integer", "string") if flag(self.raw, "x-kubernetes-int-or-string") else (text(self.raw, "type"),)
        enforced = effective_format([each for each in types if each], declared)
        return enforced.replace("-", "") if enforced else declared

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The JSON types of the accepted values. ``null`` is among them only without a type; see also ``nullable``."""
        if flag(self.raw, "x-kubernetes-int-or-string"):
            return INT_OR_STRING
        kind = text(self.raw, "type")
        if kind:
            return KINDS[kind]
        declared = text(self.raw, "format")
        return frozenset({"string", "null"}) if declared and effective_format([], declared) else _ALL

    @cached_property
    def nullable(self) -> bool:
        """Whether null is accepted by ``nullable``."""
        return flag(self.raw, "nullable")

    @cached_property
    def preserves(self) -> bool:
        """Whether unknown fields are preserved."""
        return flag(self.raw, "x-kubernetes-preserve-unknown-fields")

    @cached_property
    def embedded(self) -> bool:
        """Whether the value is an embedded resource."""
        return flag(self.raw, "x-kubernetes-embedded-resource")

    @cached_property
    def constraints(self) -> Constraints:
        """The merged value validations."""
        return constraints_of(self.raw, int_or_string=self.kinds <= INT_OR_STRING)

    @cached_property
    def declared(self) -> dict[str, Raw]:
        """The properties, with those that every resource has."""
        implicit: dict[str, Raw] = {}
        if self.role == "root" or self.embedded:
            implicit = _IMPLICIT
        elif self.role == "metadata":
            implicit = _IMPLICIT_METADATA
        own = properties(self.raw)
        return own | {name: each for name, each in implicit.items() if name not in own} if implicit else own

    @cached_property
    def rest(self) -> Raw | None:
        """The schema of fields that are not declared; None if they are pruned or forbidden."""
        if self.role == "metadata":
            return ANY  # metadata is pruned to the fields of ObjectMeta, whatever the schema says
        additional = self.raw.get("additionalProperties")
        if isinstance(additional, dict):
            return additional
        if additional is True:
            return ANY_EMPTIED
        return ANY if self.preserves and not self.forbids else None

    @cached_property
    def forbids(self) -> bool:
        """Whether an unknown field is an error, and not only pruned."""
        return self.raw.get("additionalProperties") is False

    @cached_property
    def items(self) -> Raw:
        """The schema of a list's items."""
        found = schema(self.raw, "items")
        if found is None:
            return ANY if self.preserves else ANY_EMPTIED
        return {**found, "x-kubernetes-preserve-unknown-fields": True} if self.preserves else found

    @cached_property
    def list_type(self) -> str:
        """The list type; ``atomic`` by default."""
        return text(self.raw, "x-kubernetes-list-type") or "atomic"

    @cached_property
    def list_keys(self) -> frozenset[str]:
        """The keys of the items of a map list."""
        return frozenset(strings(self.raw, "x-kubernetes-list-map-keys"))

    @cached_property
    def map_type(self) -> str:
        """The map type; ``granular`` by default."""
        return text(self.raw, "x-kubernetes-map-type") or "granular"

    def keeps(self, name: str) -> bool:
        """Whether a field is not pruned."""
        return name in self.declared or self.rest is not None

    def default_of(self, name: str) -> Any:
        """The default of a declared property; None if it has none."""
        found = self.declared.get(name)
        return None if found is None else found.get("default")

    def property(self, name: str) -> SchemaView:
        """The view of a declared property, or of a field that is not declared where those are kept."""
        found = self.declared.get(name)
        if found is None:
            assert self.rest is not None
            found = self.rest
        role = "metadata" if name == "metadata" and (self.role == "root" or self.embedded) else ""
        inherited = self._validations_by_property.get(name, ())
        required = name in self._required
        if name not in self.declared and not inherited and not required:
            return self._plain_rest
        return SchemaView(found, inherited, role, required=required)

    @cached_property
    def _required(self) -> frozenset[str]:
        return frozenset(self.constraints.required)

    @cached_property
    def _plain_rest(self) -> SchemaView:
        assert self.rest is not None
        return SchemaView(self.rest)

    @cached_property
    def rest_view(self) -> SchemaView:
        """The view of all fields that are not declared."""
        inherited = [each for found in self._validations_by_property.values() for each in found]
        return SchemaView(self._plain_rest.raw, inherited) if inherited else self._plain_rest

    @cached_property
    def items_view(self) -> SchemaView:
        """The view of a list's items."""
        return SchemaView(self.items, [each for raw in self._validations if (each := schema(raw, "items")) is not None])

    @cached_property
    def _validations_by_property(self) -> dict[str, list[Raw]]:
        found: dict[str, list[Raw]] = {}
        for raw in self._validations:
            for name, each in properties(raw).items():
                found.setdefault(name, []).append(each)
        return found

    @cached_property
    def _validations(self) -> list[Raw]:
        """All validations of this value in ``allOf``, ``anyOf``, ``oneOf`` and ``not``, here and around."""
        found = [*self._inherited, *_branches(self.raw)]
        for each in found:  # grows while it is walked
            found += _branches(each)
        return found

    @cached_property
    def _mentioned(self) -> frozenset[str]:
        names = {name for raw in self._validations for name in (*strings(raw, "required"), *properties(raw))}
        return frozenset(names)

    @cached_property
    def _counts_fields(self) -> bool:
        most = self.constraints.counts["object"].high is not None
        return most or any(keyword in raw for raw in self._validations for keyword in _COUNTING)

    def validates(self, name: str) -> bool:
        """Whether ``anyOf`` and the like, here or around, validate the value of a property."""
        return name in self._validations_by_property

    def depends_on(self, name: str) -> bool:
        """Whether a validation may fail because a field is present: one that names it, or that counts the fields."""
        return self._counts_fields or name in self._mentioned


def _branches(raw: Raw) -> list[Raw]:
    found = [each for keyword in _JUNCTORS if keyword in raw for each in schemas(raw, keyword)]
    negated = schema(raw, "not")
    return found if negated is None else [*found, negated]
