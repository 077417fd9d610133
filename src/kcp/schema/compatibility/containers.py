"""The meet of what is inside maps and lists: fields that both schemas keep, and how lists and maps merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from kcp.api.field_errors import ABSENT
from kcp.schema.compatibility.incompatibilities import Report, or_absent
from kcp.schema.compatibility.rules import SAME_TYPES, SameTypes
from kcp.schema.compatibility.values import SchemaPair
from kcp.schema.compatibility.views import ANY, ANY_EMPTIED, SchemaView
from kcp.schema.raw_schemas import Raw, properties, strings

_LIST_TYPE: Final = "x-kubernetes-list-type"
_LIST_KEYS: Final = "x-kubernetes-list-map-keys"
_MAP_TYPE: Final = "x-kubernetes-map-type"
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"


@dataclass(slots=True)
class Meet:
    """The meet of two schemas.

    raw            the schema
    types          whether values, and all values inside, have the same types in expressions as by the two schemas
    make_required  whether a property of this schema must be required, since its defaults differ
    changed        whether the schema is not the old one
    """

    raw: Raw
    types: SameTypes
    make_required: bool = False
    changed: bool = False


Descend = Callable[[SchemaView, SchemaView, str, Report], Meet]
"""Finds the meet of two schemas at a path."""


@dataclass(slots=True)
class _Fields:
    """The fields of a map that both schemas keep: ``rest`` is the schema of those that are not declared."""

    declared: dict[str, Raw] = field(default_factory=dict)
    rest: Raw | None = None
    make_required: list[str] = field(default_factory=list)
    changed: bool = False
    types: SameTypes = SAME_TYPES

    def keeps(self, name: str) -> bool:
        """Whether a field is not pruned."""
        return name in self.declared or self.rest is not None


def meet_map(pair: SchemaPair, raw: Raw, descend: Descend) -> Meet:
    """The meet of the keywords about maps, put into ``raw``, which has the meet of the others."""
    old, new, path, report = pair.old, pair.new, pair.path, pair.report
    if old.map_type != new.map_type:
        report.conflict(f"{path}.{_MAP_TYPE}", "the map merges differently", old.map_type, new.map_type)
    if old.embedded != new.embedded:
        reason = "the metadata of the embedded resource is kept and validated by one schema only"
        report.conflict(f"{path}.{_EMBEDDED}", reason, old.embedded, new.embedded)
    report.spend(len(old.declared) + len(new.declared))
    fields = _Fields()
    _meet_rest(pair, fields, descend)
    for name in old.declared:
        _meet_old_property(pair, fields, name, descend)
    for name in new.declared:
        if name not in old.declared:
            _meet_new_property(pair, fields, name, descend)
    _separate_rest(pair, fields)
    required = _meet_required(pair, fields)
    _check_alternatives(pair, fields)
    fewest = max(map(_fewest, (old, new)))
    if fields.rest is None and len(fields.declared) < fewest and all(map(_has_enough_properties, (old, new))):
        report.obstacle(f"{path}.minProperties", "the schemas have fewer properties in common", ABSENT, fewest)
    if not (fields.changed or required != list(old.constraints.required)):
        return Meet(raw, fields.types)
    out = {keyword: value for keyword, value in raw.items() if keyword not in _declared_by(pair)}
    return Meet(out | _keywords(pair, fields, required), fields.types, changed=True)


def _fewest(view: SchemaView) -> float:
    return view.constraints.counts["object"].low or 0


def _has_enough_properties(view: SchemaView) -> bool:
    return view.rest is not None or len(view.declared) >= _fewest(view)


def _declared_by(pair: SchemaPair) -> tuple[str, ...]:
    rest = () if pair.old.role == "metadata" else ("additionalProperties", _PRESERVE)
    return ("properties", "required", *rest)


def _keywords(pair: SchemaPair, fields: _Fields, required: list[str]) -> Raw:
    out: Raw = {}
    declared = properties(pair.old.raw) | properties(pair.new.raw)
    kept = {name: each for name, each in fields.declared.items() if name in declared}
    if kept:
        out["properties"] = kept
    if required:
        out["required"] = required
    if pair.old.role == "metadata":
        return out
    if fields.rest is ANY:
        out[_PRESERVE] = True
    elif fields.rest is not None:
        out["additionalProperties"] = True if fields.rest is ANY_EMPTIED else fields.rest
    elif pair.old.forbids or pair.new.forbids:
        out["additionalProperties"] = False
    return out


def _meet_rest(pair: SchemaPair, fields: _Fields, descend: Descend) -> None:
    """Meet the schemas of fields that are not declared."""
    old, new = pair.old, pair.new
    if old.rest is None or new.rest is None:
        if old.rest is not None:
            keyword = _PRESERVE if old.rest is ANY and not new.forbids else "additionalProperties"
            reason = "fields that are not declared are pruned or refused"
            if pair.kinds == old.kinds:
                path = f"{pair.path}.{keyword}"
                shown = or_absent(old.raw.get(keyword)), or_absent(new.raw.get(keyword))
                pair.report.narrowing(path, reason, *shown)
            fields.changed = True
        elif new.forbids and not old.forbids:
            reason = "unknown fields are refused instead of pruned"
            pair.report.narrowing(f"{pair.path}.additionalProperties", reason, ABSENT, False)
            fields.changed = True
        return
    if old.rest is new.rest and (old.rest is ANY or old.rest is ANY_EMPTIED):
        fields.rest = old.rest
        return
    found = descend(old.rest_view, new.rest_view, f"{pair.path}.additionalProperties", pair.report)
    fields.rest = found.raw
    for known in (ANY, ANY_EMPTIED):
        if found.raw == known:
            fields.rest = known
    fields.types &= found.types
    fields.changed |= found.changed


def _meet_old_property(pair: SchemaPair, fields: _Fields, name: str, descend: Descend) -> None:
    old, new = pair.old, pair.new
    path = f"{pair.path}.properties[{name}]"
    if name in new.declared or new.rest is not None:
        found = descend(old.property(name), new.property(name), path, pair.report)
        # expressions of a schema access the properties that it declares
        _add(fields, name, found, SameTypes(found.types.as_old, found.types.as_new or name not in new.declared))
        return
    reason = "the property was removed: it is pruned from objects"
    pair.report.narrowing(path, reason)
    fields.changed = True
    if old.default_of(name) is not None and old.depends_on(name):
        reason = "only the old schema has the property, and its default may fail other validations there"
        pair.report.obstacle(path, reason)


def _meet_new_property(pair: SchemaPair, fields: _Fields, name: str, descend: Descend) -> None:
    old, new = pair.old, pair.new
    path = f"{pair.path}.properties[{name}]"
    if old.rest is not None:
        found = descend(old.property(name), new.property(name), path, pair.report)
        if found.changed or fields.rest is not old.rest or new.validates(name):
            fields.changed = True
            _add(fields, name, found, SameTypes(as_new=found.types.as_new))
        return
    default = new.default_of(name)
    if default is not None and new.depends_on(name):
        reason = "objects get the default of the new property, which other validations may refuse"
        pair.report.conflict(path, reason, ABSENT, default)


def _add(fields: _Fields, name: str, found: Meet, types: SameTypes) -> None:
    fields.declared[name] = found.raw
    fields.changed |= found.changed
    fields.types &= types
    if found.make_required:
        fields.make_required.append(name)


def _check_alternatives(pair: SchemaPair, fields: _Fields) -> None:
    """Report an ``anyOf`` or ``oneOf`` whose alternatives all need properties that the schemas do not have in common."""
    one, other = (view.constraints.junctors for view in (pair.old, pair.new))
    for key, junctor in (one | other).items():
        branches = junctor.raw.get(junctor.keyword) if junctor.keyword in ("anyOf", "oneOf") else ()
        views = [view for view, known in ((pair.old, one), (pair.new, other)) if key in known]
        lost = [
            [name for name in strings(raw, "required") if not fields.keeps(name) and all(v.keeps(name) for v in views)]
            for raw in branches or ()
        ]
        if lost and all(lost):
            names = ", ".join(dict.fromkeys(name for each in lost for name in each))
            reason = f"every alternative requires a property that only one schema has: {names}"
            pair.report.obstacle(f"{pair.path}.{junctor.keyword}", reason)


def _separate_rest(pair: SchemaPair, fields: _Fields) -> None:
    """Choose between properties and ``additionalProperties``, since a definition must not have both."""
    if not fields.declared or fields.rest is None or fields.rest is ANY or fields.rest is ANY_EMPTIED:
        return
    if isinstance(pair.old.raw.get("additionalProperties"), dict) and pair.old.declared:
        return  # the old schema has both
    own = properties(pair.old.raw) | properties(pair.new.raw)
    if all(each == fields.rest for name, each in fields.declared.items() if name in own):
        fields.declared = {}
        return
    fields.rest = None
    reason = "fields that are not declared would need a schema beside properties"
    pair.report.narrowing(f"{pair.path}.additionalProperties", reason)


def _meet_required(pair: SchemaPair, fields: _Fields) -> list[str]:
    """The names of required properties; a property that one side always sets is not new among them."""
    old, new = pair.old, pair.new
    before, after = set(old.constraints.required), set(new.constraints.required)
    found = []
    for name in dict.fromkeys((*old.constraints.required, *new.constraints.required, *fields.make_required)):
        requiring = [view for view, names in ((old, before), (new, after)) if name in names]
        if not fields.keeps(name) and all(view.keeps(name) for view in requiring):
            _report_lost(pair, name, by_old=name in before, by_new=name in after)
            continue
        set_by_default = fields.keeps(name) and name not in fields.make_required and _sets_default(old, new, name)
        if set_by_default and name not in before:
            continue  # every object has the field
        if name in after and name not in before:
            reason = f"objects without {name} are refused"
            pair.report.narrowing(f"{pair.path}.required", reason, _names(old), _names(new))
        found.append(name)
    return found


def _sets_default(old: SchemaView, new: SchemaView, name: str) -> bool:
    return old.default_of(name) is not None or new.default_of(name) is not None


def _report_lost(pair: SchemaPair, name: str, *, by_old: bool, by_new: bool) -> None:
    """Report a required property that one schema does not have, unless the other sets it by its default."""
    old, new, path = pair.old, pair.new, f"{pair.path}.required"
    if by_new and new.keeps(name) and new.default_of(name) is None:
        reason = f"the new property {name} is required: objects without it are refused"
        pair.report.conflict(path, reason, _names(old), _names(new))
    elif by_old and old.keeps(name) and old.default_of(name) is None:
        pair.report.obstacle(path, f"{name} is required by the old schema, and the new one has no such field")


def _names(view: SchemaView) -> Any:
    return list(view.constraints.required) or ABSENT


def meet_list(pair: SchemaPair, raw: Raw, descend: Descend) -> Meet:
    """The meet of the keywords about lists, put into ``raw``, which has the meet of the others."""
    old, new, path, report = pair.old, pair.new, pair.path, pair.report
    if old.list_type != new.list_type:
        report.conflict(f"{path}.{_LIST_TYPE}", "the list merges differently", old.list_type, new.list_type)
    elif old.list_keys != new.list_keys:
        shown = sorted(old.list_keys), sorted(new.list_keys)
        report.conflict(f"{path}.{_LIST_KEYS}", "the items of the list are identified differently", *shown)
    if all(items is ANY or items is ANY_EMPTIED for items in (old.items, new.items)):
        return Meet(raw, SAME_TYPES)  # they follow from what is kept of unknown fields
    found = descend(old.items_view, new.items_view, f"{path}.items", report)
    is_declared = "items" in old.raw or pair.kinds != {"array"}
    if not found.changed and is_declared:
        return Meet(raw, found.types)
    out = {**raw, "items": found.raw, **_merging(old), **_merging(new)}
    if "object" not in pair.kinds and not new.preserves:
        out.pop(_PRESERVE, None)
    return Meet(out, found.types, changed=True)


def _merging(view: SchemaView) -> Raw:
    return {keyword: view.raw[keyword] for keyword in (_LIST_TYPE, _LIST_KEYS) if keyword in view.raw}
