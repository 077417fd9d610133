"""The walk over two schemas that finds their meet: the largest schema whose objects both accept, keep and understand.

One walk gives both answers: the new schema is compatible if nothing narrows, which is when the meet is the old schema; and the
meet, if nothing conflicts, is the lowest common schema. Each aspect of a schema (its types, its validations, its default, its
fields, ...) has a function that returns the meet of that aspect and reports the differences.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import json_values
from kcp.api.field_errors import ABSENT
from kcp.schema.compatibility import constraints
from kcp.schema.compatibility.containers import Meet, meet_list, meet_map
from kcp.schema.compatibility.incompatibilities import Report, or_absent
from kcp.schema.compatibility.rules import DIFFERENT_TYPES, SAME_TYPES, meet_rules, same_types
from kcp.schema.compatibility.rules import KEYWORD as RULES
from kcp.schema.compatibility.values import SchemaPair, common_format, meet_values
from kcp.schema.compatibility.views import INT_OR_STRING, KINDS, SchemaView
from kcp.schema.fast_validation import check_of, holds
from kcp.schema.nodes import Scope
from kcp.schema.pruning import prune_unknown, pruner
from kcp.schema.raw_schemas import Raw

_TYPES: Final = {kinds: name for name, kinds in KINDS.items()}
_LIST_KEYWORDS: Final = ("items", "x-kubernetes-list-type", "x-kubernetes-list-map-keys")
_MAP_KEYWORDS: Final = (
    "properties",
    "additionalProperties",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-map-type",
)
_COMPARED: Final = frozenset(
    {"type", "format", "nullable", "default", "x-kubernetes-int-or-string", "uniqueItems", RULES}
    | {*_LIST_KEYWORDS, *_MAP_KEYWORDS}
    | constraints.KEYWORDS
    | constraints.DESCRIPTIVE
)


def meet(old: SchemaView, new: SchemaView, path: str, report: Report) -> Meet:
    """The meet of two schemas at a path. What it returns after a conflict is not a meet."""
    report.spend(1)
    if old.equals(new):
        return Meet(old.raw, SAME_TYPES)
    kinds = old.kinds & new.kinds
    if not kinds - {"null"}:
        report.conflict(f"{path}.type", "the type changed", _shown_type(old), _shown_type(new))
        return Meet(old.raw, DIFFERENT_TYPES)
    pair = SchemaPair(old, new, kinds, path, report)
    out = _Draft(old)
    _meet_kinds(pair, out)
    _meet_nullable(pair, out)
    _meet_formats_and_values(pair, out)
    types = SAME_TYPES
    if "object" in kinds:
        fields = meet_map(pair, out.raw, meet)
        types &= fields.types
        out.become(fields)
    if "array" in kinds:
        items = meet_list(pair, out.raw, meet)
        types &= items.types
        out.become(items)
    types &= same_types(old, new, SchemaView(out.raw))
    rules = meet_rules(old, new, path, report, types=types)
    if len(rules) != len(old.raw.get(RULES) or ()):
        out.replace((RULES,), {RULES: rules})
    _meet_unknown(pair)
    required = _meet_default(pair, out)
    return Meet(out.raw, types, make_required=required, changed=out.changed)


class _Draft:
    """The meet while it is made: the old schema until an aspect changes."""

    __slots__ = ("changed", "raw")

    def __init__(self, old: SchemaView) -> None:
        self.raw = old.raw
        self.changed = False

    def become(self, found: Meet) -> None:
        """Take the schema that a function has made of this one."""
        self.raw = found.raw
        self.changed |= found.changed

    def replace(self, keywords: tuple[str, ...] | frozenset[str], by: Raw) -> None:
        """Remove keywords and set others."""
        self.changed = True
        self.raw = {keyword: value for keyword, value in self.raw.items() if keyword not in keywords} | by


def _shown_type(view: SchemaView) -> Any:
    return "integer or string" if view.kinds == INT_OR_STRING else view.raw.get("type", ABSENT)


def _meet_kinds(pair: SchemaPair, out: _Draft) -> None:
    old, new, kinds = pair.old, pair.new, pair.kinds
    if kinds == old.kinds:
        return
    reason = "values of other types are refused"
    pair.report.narrowing(f"{pair.path}.type", reason, _shown_type(old), _shown_type(new))
    typing: Raw = {}
    if kinds == INT_OR_STRING:
        typing = {"x-kubernetes-int-or-string": True}
    elif kinds in _TYPES:
        typing = {"type": _TYPES[kinds]}
    out.replace(("type", "x-kubernetes-int-or-string"), typing)
    if "object" not in kinds and "array" not in kinds and "null" not in kinds:
        out.replace((*_MAP_KEYWORDS, *_LIST_KEYWORDS), {})


def _meet_nullable(pair: SchemaPair, out: _Draft) -> None:
    if pair.old.nullable and not pair.new.nullable:
        if pair.kinds == pair.old.kinds:
            pair.report.narrowing(f"{pair.path}.nullable", "null is refused or replaced", True, ABSENT)
        out.replace(("nullable",), {})


def _meet_formats_and_values(pair: SchemaPair, out: _Draft) -> None:
    old = pair.old
    format_ = common_format(pair)
    if format_ != old.format:
        new = pair.new
        by = {"format": new.raw["format"] if new.format == format_ else format_} if format_ else {}
        out.replace(("format",), by)
    found = meet_values(pair, format_)
    if found is not None:
        keywords = found.keywords(format_, integers=pair.integers)
        if old.constraints.required:
            keywords["required"] = list(old.constraints.required)
        out.replace(constraints.KEYWORDS, keywords)


def _meet_unknown(pair: SchemaPair) -> None:
    """Refuse to compare what this module does not know, unless it is equal."""
    old, new = pair.old.raw, pair.new.raw
    for keyword in sorted({*old, *new} - _COMPARED):
        before, after = old.get(keyword), new.get(keyword)
        if not json_values.equal(before, after):
            shown = or_absent(before), or_absent(after)
            pair.report.conflict(f"{pair.path}.{keyword}", "the keyword changed and cannot be compared", *shown)


def _meet_default(pair: SchemaPair, out: _Draft) -> bool:
    """Meet the defaults. Returns whether the property must be required, since objects without it would differ."""
    old, new = pair.old.raw.get("default"), pair.new.raw.get("default")
    if old is None and new is None:
        return False
    common = _common_default(pair, old, new)
    if not pair.report.for_common:
        return False
    if common is not None and _is_valid(common, out.raw):
        if old is None:
            out.replace((), {"default": common})
        return False
    if old is not None:
        out.replace(("default",), {})
    return True


def _common_default(pair: SchemaPair, old: Any, new: Any) -> Any:
    """The default for objects of both schemas; None if they must have the field, or if every object has it."""
    if old is not None and new is not None and json_values.equal(old, new):
        return old
    if old is not None or not pair.old.required:
        verb = "added" if old is None else "removed" if new is None else "changed"
        reason = f"the default was {verb}: objects without the field mean something else"
        shown = or_absent(old), or_absent(new)
        pair.report.narrowing(f"{pair.path}.default", reason, *shown)
    if old is None:
        return None if pair.old.required else new
    return old if new is None and not pair.new.required else None


def _is_valid(default: Any, raw: Raw) -> bool:
    """Whether a default is valid by a schema, which keeps all its fields."""
    node = Scope({}, typed_int_or_string=False).node(raw)
    if not holds(check_of(node), default):
        return False
    copied = json_values.copy(default)
    if type(copied) is not dict and type(copied) is not list:
        return True
    return not (pruner(node)(copied) if node.types or node.preserves_unknown else prune_unknown(copied))
