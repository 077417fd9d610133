"""Compatibility of two CustomResourceDefinitions, and their lowest common definition.

Beside the schemas of their versions this compares what else clients see: names, scope, versions, subresources, printer columns
and selectable fields. Fields of a definition that this module does not know must be equal.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import field_errors, json_values
from kcp.api.field_errors import ABSENT
from kcp.api.kinds import version_order
from kcp.schema.compatibility.incompatibilities import (
    Incompatibility,
    InvalidSchemaError,
    NoCommonSchemaError,
    Report,
)
from kcp.schema.compatibility.schemas import TOO_DEEP, budget_of, check_valid_schema, is_too_deep, meet_schemas
from kcp.schema.compatibility.versions import meet_version_fields
from kcp.schema.definitions.defaults import default_definition
from kcp.schema.definitions.definition_validation import validate_definition
from kcp.schema.definitions.name_validation import APPROVAL_ANNOTATION
from kcp.schema.raw_schemas import Definition, Raw, flag, objects, schema, strings, text

_IDENTITY: Final = (
    (("group",), "the group changed"),
    (("scope",), "the scope changed: objects have other paths"),
    (("names", "plural"), "the resource was renamed"),
    (("names", "kind"), "the kind was renamed"),
    (("names", "listKind"), "the kind of lists was renamed"),
    (("names", "singular"), "the singular name changed"),
    (("preserveUnknownFields",), "unknown fields are kept by one definition only"),
)
"""The fields of the spec that are equal in compatible definitions, with what their change means."""
_KNOWN: Final = frozenset({"group", "scope", "names", "preserveUnknownFields", "versions", "conversion"})


def compare_definitions(old: Definition, new: Definition) -> list[Incompatibility]:
    """Find what breaks clients and stored objects of a CustomResourceDefinition when another takes its place.

    An empty list says that the new definition is compatible. See `compare` for schemas. Raises InvalidSchemaError for a
    definition that is not valid.
    """
    old, new = _checked(old), _checked(new)
    report = Report(for_common=False, budget=budget_of(old, new))
    _meet_definitions(old, new, report)
    return report.found


def lowest_common_definition(old: Definition, new: Definition) -> Definition:
    """The definition of what both definitions serve: their common versions, each with the lowest common schema.

    Raises NoCommonSchemaError where there is none; InvalidSchemaError as `compare_definitions`.
    """
    old, new = _checked(old), _checked(new)
    report = Report(for_common=True, budget=budget_of(old, new))
    common = _meet_definitions(old, new, report)
    if not report.found:
        whole = json_values.copy(common)
        default_definition(whole)
        for error in validate_definition(whole):
            report.conflict(error.field, f"the common definition would be invalid: {error.body}")
    if report.found:
        raise NoCommonSchemaError(report.found)
    return common


def _checked(definition: Definition) -> Definition:
    """The definition with its defaults. Raises InvalidSchemaError."""
    if is_too_deep(definition):
        raise InvalidSchemaError([field_errors.invalid("", ABSENT, TOO_DEEP)])
    whole: Definition = json_values.copy(definition)
    default_definition(whole)
    if errors := validate_definition(whole):
        raise InvalidSchemaError(errors)
    for name, version in _versions(whole).items():
        check_valid_schema(_schema(version), _path(name))
    return whole


def _spec(definition: Definition) -> Raw:
    return schema(definition, "spec") or {}


def _versions(definition: Definition) -> dict[str, Raw]:
    return {text(version, "name"): version for version in objects(_spec(definition).get("versions"))}


def _schema(version: Raw) -> Raw:
    return schema(schema(version, "schema") or {}, "openAPIV3Schema") or {}


def _path(version: str) -> str:
    return f"spec.versions[{version}].schema.openAPIV3Schema"


def _meet_definitions(old: Definition, new: Definition, report: Report) -> Definition:
    before, after = _spec(old), _spec(new)
    for path, reason in _IDENTITY:
        one, other = (_at(spec, path) for spec in (before, after))
        if one != other:
            report.conflict(".".join(("spec", *path)), reason, one or ABSENT, other or ABSENT)
    for field in sorted((before.keys() | after.keys()) - _KNOWN):
        if not json_values.equal(before.get(field), after.get(field)):
            shown = [spec.get(field, ABSENT) for spec in (before, after)]
            report.conflict(f"spec.{field}", "the field changed and cannot be compared", *shown)
    spec = {field: value for field, value in before.items() if field not in ("versions", "names")}
    spec["names"] = _meet_names(schema(before, "names") or {}, schema(after, "names") or {}, report)
    spec["versions"] = _meet_versions(old, new, report)
    if len(spec["versions"]) < 2:
        spec["conversion"] = {"strategy": "None"}
    else:
        _compare_conversions(before, after, report)
    meta: Raw = {"name": text(schema(old, "metadata") or {}, "name")}
    approval = (schema(schema(old, "metadata") or {}, "annotations") or {}).get(APPROVAL_ANNOTATION)
    if approval is not None:
        meta["annotations"] = {APPROVAL_ANNOTATION: approval}
    return {"apiVersion": old.get("apiVersion"), "kind": old.get("kind"), "metadata": meta, "spec": spec}


def _at(spec: Raw, path: tuple[str, ...]) -> Any:
    found: Any = spec
    for field in path:
        found = found.get(field) if isinstance(found, dict) else None
    return found or None


def _meet_names(old: Raw, new: Raw, report: Report) -> Raw:
    common = dict(old)
    for field, reason in (("shortNames", "short names were removed"), ("categories", "categories were removed")):
        before, after = strings(old, field), strings(new, field)
        kept = [name for name in before if name in after]
        if kept != before:
            report.narrowing(f"spec.names.{field}", reason, before, after or ABSENT)
            common[field] = kept
            if not kept:
                del common[field]
    return common


def _meet_versions(old: Definition, new: Definition, report: Report) -> list[Raw]:
    before, after = _versions(old), _versions(new)
    stored = {*strings(schema(old, "status") or {}, "storedVersions")}
    found = []
    for name, version in before.items():
        path = f"spec.versions[{name}]"
        other = after.get(name)
        if other is not None:
            found.append(_meet_version(version, other, path, report))
        elif flag(version, "served"):
            report.narrowing(path, "the version was removed: its clients get 404")
        elif name in stored:
            report.narrowing(path, "the version was removed, and objects may be stored in it")
    if not any(flag(version, "served") for version in found):
        report.obstacle("spec.versions", "no version is served by both", [*before], [*after])
    _choose_storage(found)
    return found


def _choose_storage(versions: list[Raw]) -> None:
    """Mark the storage version: the one of the old definition, or else the preferred one."""
    if versions and not any(flag(version, "storage") for version in versions):
        min(versions, key=lambda version: version_order(text(version, "name")))["storage"] = True


def _meet_version(old: Raw, new: Raw, path: str, report: Report) -> Raw:
    common = meet_version_fields(old, new, path, report)
    if flag(old, "served") and not flag(new, "served"):
        report.narrowing(f"{path}.served", "the version is no longer served: its clients get 404", True, False)
        common["served"] = False
    where = f"{path}.schema.openAPIV3Schema"
    raw = meet_schemas(_schema(old), _schema(new), where, report).raw
    common["schema"] = {**old["schema"], "openAPIV3Schema": raw}
    return common


def _compare_conversions(old: Raw, new: Raw, report: Report) -> None:
    """Report other ways of converting objects between versions; where the webhook of an equal strategy is, is no difference."""
    before, after = (text(schema(spec, "conversion") or {}, "strategy") for spec in (old, new))
    if before != after:
        reason = "objects are converted between versions in another way"
        report.conflict("spec.conversion.strategy", reason, before, after)
