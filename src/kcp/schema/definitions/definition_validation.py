"""Validation of CustomResourceDefinitions.

Follows apiextensions-apiserver's ValidateCustomResourceDefinition(Update), which validates the internal version: fields that are
equal in all versions are at ``spec`` (``spec.validation``, ``spec.subresources``), and so are the field paths of their errors.
Metadata is validated elsewhere, except that the name must match the spec.
"""

from collections.abc import Iterator
from typing import Any

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.api.names import is_dns1035_label
from kcp.schema import raw_schemas
from kcp.schema.default_validation import validate_defaults
from kcp.schema.definitions import conversion as conversions
from kcp.schema.definitions import name_validation, version_validation
from kcp.schema.definitions.computed_column_validation import annotation_errors
from kcp.schema.definitions.conditions import MAX_VERSIONS
from kcp.schema.definitions.list_validation import map_key_errors, set_item_errors
from kcp.schema.definitions.schema_validation import ValidationOptions, has_unsupported_keywords, schema_errors
from kcp.schema.definitions.validation_cache import cached_by_content
from kcp.schema.error_limits import limited
from kcp.schema.raw_schemas import Definition, Raw, objects, schema, strings, text
from kcp.schema.structural import validate_structural

_IMMUTABLE = "field is immutable"
_TYPES = frozenset({"", "string", "number", "integer", "boolean", "array", "object"})


def validate_definition(definition: Definition) -> list[FieldError]:
    """Validate a new definition, after defaulting."""
    spec = schema(definition, "spec") or {}
    group, plural = text(spec, "group"), text(schema(spec, "names") or {}, "plural")
    meta = schema(definition, "metadata") or {}
    name = text(meta, "name")
    found = [
        field_errors.invalid("metadata.name", name, why)
        for why in name_validation.object_name_errors(name, plural, group)
    ]
    if not group and name != f"{plural}.core":
        found.append(field_errors.required("spec.group"))
    found += _spec_errors(spec, old=None)
    found += _status_errors(definition)
    found += name_validation.approval_errors(group, meta.get("annotations"), None)
    found += annotation_errors(meta.get("annotations"), spec)
    return limited(found + _unknown_fields_errors(spec, None))


def validate_definition_update(new: Definition, old: Definition) -> list[FieldError]:
    """Validate an update of a definition; violations that the old definition has are tolerated where Kubernetes does."""
    spec, old_spec = schema(new, "spec") or {}, schema(old, "spec") or {}
    found = _spec_errors(spec, old=old)
    wanted, had = schema(spec, "names") or {}, schema(old_spec, "names") or {}
    if _is_established(old):
        found += _unchanged(spec.get("scope"), old_spec.get("scope"), "spec.scope")
        found += _unchanged(wanted.get("kind"), had.get("kind"), "spec.names.kind")
    found += _unchanged(spec.get("group"), old_spec.get("group"), "spec.group")
    found += _unchanged(wanted.get("plural"), had.get("plural"), "spec.names.plural")
    found += _status_errors(new)
    annotations = (schema(new, "metadata") or {}).get("annotations")
    old_annotations = (schema(old, "metadata") or {}).get("annotations") or {}
    found += name_validation.approval_errors(text(spec, "group"), annotations, old_annotations)
    found += annotation_errors(annotations, spec, old_annotations)
    return limited(found + _unknown_fields_errors(spec, old_spec))


def validate_definition_status_update(new: Definition, _: Definition) -> list[FieldError]:
    """Validate an update of a definition's status."""
    status = schema(new, "status") or {}
    return limited(name_validation.names_errors(schema(status, "acceptedNames") or {}, "status.acceptedNames"))


def _unchanged(new: Any, old: Any, path: str) -> list[FieldError]:
    return [] if (new or "") == (old or "") else [field_errors.invalid(path, new, _IMMUTABLE)]


def _is_established(definition: Definition) -> bool:
    conditions = objects((schema(definition, "status") or {}).get("conditions"))
    return any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)


def _unknown_fields_errors(spec: Raw, old_spec: Raw | None) -> list[FieldError]:
    if spec.get("preserveUnknownFields") is not True or (old_spec or {}).get("preserveUnknownFields") is True:
        return []
    why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
    return [field_errors.invalid("spec.preserveUnknownFields", True, why)]


def _status_errors(definition: Definition) -> list[FieldError]:
    status, spec = schema(definition, "status") or {}, schema(definition, "spec") or {}
    found = name_validation.names_errors(schema(status, "acceptedNames") or {}, "status.acceptedNames")
    stored = strings(status, "storedVersions")
    path = "status.storedVersions"
    if not stored:
        return [*found, field_errors.invalid(path, stored, "must have at least one stored version")]
    listed = objects(spec.get("versions"))
    for version in listed:
        if version.get("storage") is True and text(version, "name") not in stored:
            why = f"must have the storage version {text(version, 'name')}"
            found.append(field_errors.invalid(path, stored, why))
    known = {text(version, "name") for version in listed}
    for index, name in enumerate(stored):
        if name not in known:
            why = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions "
                f"until a storage migration ensures no data remains persisted in {name} and removes {name} "
                "from status.storedVersions"
            )
            found.append(field_errors.invalid(f"{path}[{index}]", name, why))
    return found


def _spec_errors(spec: Raw, *, old: Definition | None) -> list[FieldError]:
    path = "spec"
    old_spec = schema(old, "spec") if old is not None else None
    found = name_validation.group_errors(text(spec, "group"), f"{path}.group")
    scope = text(spec, "scope")
    if not scope:
        found.append(field_errors.required(f"{path}.scope"))
    elif scope not in ("Cluster", "Namespaced"):
        found.append(field_errors.not_supported(f"{path}.scope", scope, ["Cluster", "Namespaced"]))
    listed = objects(spec.get("versions"))
    if len(listed) > MAX_VERSIONS:
        return [*found, field_errors.too_many(f"{path}.versions", len(listed), MAX_VERSIONS)]
    found += _missing_schemas(listed, f"{path}.versions", old_spec)
    found += _version_list_errors(listed, f"{path}.versions")
    found += name_validation.missing_names(schema(spec, "names") or {}, f"{path}.names")
    found += name_validation.names_errors(schema(spec, "names") or {}, f"{path}.names")
    found += _version_field_errors(listed, old_spec)
    was_known = old is None or conversions.has_known_review(schema(old_spec or {}, "conversion"))
    any_bundle = old is None or not _is_established(old)
    any_bundle = any_bundle or not conversions.ca_bundle_is_readable(schema(old_spec or {}, "conversion"))
    return found + conversions.conversion_errors(
        schema(spec, "conversion"), f"{path}.conversion", known_review=was_known, any_bundle=any_bundle
    )


def _missing_schemas(listed: list[Raw], path: str, old_spec: Raw | None) -> list[FieldError]:
    required = old_spec is None or all(_raw(version) is not None for version in objects(old_spec.get("versions")))
    found = []
    for index, version in enumerate(listed):
        if _raw(version) is None:
            below = f"{path}[{index}].schema.openAPIV3Schema"
            if required:
                found.append(field_errors.required(below))
            elif version.get("served") is True:
                found.append(field_errors.required(below, "because otherwise all fields are pruned"))
    return found


def _version_list_errors(listed: list[Raw], path: str) -> list[FieldError]:
    found = []
    for index, version in enumerate(listed):
        name = text(version, "name")
        if problems := is_dns1035_label(name):
            found.append(field_errors.invalid(f"{path}[{index}].name", name, ",".join(problems)))
        found += version_validation.deprecation_errors(version, f"{path}[{index}].deprecationWarning")
    if len({text(version, "name") for version in listed}) != len(listed):
        found.append(field_errors.invalid(path, listed, "must contain unique version names"))
    if sum(version.get("storage") is True for version in listed) != 1:
        found.append(field_errors.invalid(path, listed, "must have exactly one version marked as storage version"))
    return found


def _raw(version: Raw) -> Raw | None:
    return schema(schema(version, "schema") or {}, "openAPIV3Schema")


def _distinct_versions(listed: list[Raw], field: str, common: str) -> Iterator[tuple[Raw, str]]:
    """The versions in which to validate a field, each with the field path of its errors.

    A field that is equal in all versions is validated once, at ``spec``.
    """
    if listed and all(version.get(field) == listed[0].get(field) for version in listed):
        yield listed[0], f"spec.{common}"
        return
    for index, version in enumerate(listed):
        yield version, f"spec.versions[{index}].{field}"


def _version_field_errors(listed: list[Raw], old_spec: Raw | None) -> list[FieldError]:
    found: list[FieldError] = []
    any_status = any(map(_has_status, listed))
    for version, path in _distinct_versions(listed, "schema", "validation"):
        raw = _raw(version)
        if raw is not None:
            status = any_status if path == "spec.validation" else _has_status(version)
            found += _schema_errors(raw, f"{path}.openAPIV3Schema", status, text(version, "name"), old_spec)
    for version, path in _distinct_versions(listed, "subresources", "subresources"):
        found += version_validation.subresource_errors(version.get("subresources"), path)
    for version, path in _distinct_versions(listed, "additionalPrinterColumns", "additionalPrinterColumns"):
        for index, column in enumerate(objects(version.get("additionalPrinterColumns"))):
            found += version_validation.column_errors(column, f"{path}[{index}]")
    for version, path in _distinct_versions(listed, "selectableFields", "selectableFields"):
        kept = old_spec is not None and _keeps_selectable_fields(version, old_spec)
        found += version_validation.selectable_field_errors(
            version.get("selectableFields"), _raw(version), path, any_number=kept
        )
    return found


def _keeps_selectable_fields(version: Raw, old_spec: Raw) -> bool:
    fields = version.get("selectableFields")
    return any(
        each.get("name") == version.get("name") and each.get("selectableFields") == fields
        for each in objects(old_spec.get("versions"))
    )


def _has_schema(old_spec: Raw, name: str, raw: Raw) -> bool:
    return any(each.get("name") == name and _raw(each) == raw for each in objects(old_spec.get("versions")))


def _has_status(version: Raw) -> bool:
    return schema(schema(version, "subresources") or {}, "status") is not None


def _schema_errors(raw: Raw, path: str, status: bool, version: str, old_spec: Raw | None) -> list[FieldError]:
    found = schema_errors(raw, path, status=status, options=ValidationOptions())
    if not found or old_spec is None:
        return found
    # Only an invalid schema is compared with the old definition.
    options = _options_of(old_spec, keeps_rules=_has_schema(old_spec, version, raw))
    return schema_errors(raw, path, status=status, options=options)


def _options_of(old_spec: Raw, *, keeps_rules: bool) -> ValidationOptions:
    """The violations of the stored definition, which its update may keep."""
    raws = [raw for raw in map(_raw, objects(old_spec.get("versions"))) if raw is not None]
    violations = {name for raw in raws for name in _violations(raw)}
    return ValidationOptions(**dict.fromkeys(violations, True), expensive_rules=keeps_rules)


@cached_by_content
def _violations(raw: Raw) -> list[str]:
    """The fields of ValidationOptions that name a violation of this schema."""
    nodes = list(raw_schemas.subschemas(raw))
    found = {
        "unpruned_defaults": _has_unpruned_default(raw),
        "non_atomic_sets": any(
            node.get("x-kubernetes-list-type") == "set" and set_item_errors(node, "") for node in nodes
        ),
        "loose_map_keys": any(map_key_errors(node, "") for node in nodes),
        "unknown_types": any(text(node, "type") not in _TYPES for node in nodes),
    }
    return [name for name, violated in found.items() if violated]


def _has_unpruned_default(raw: Raw) -> bool:
    if has_unsupported_keywords(raw) or not raw_schemas.is_well_formed(raw) or validate_structural(raw, ""):
        return False
    return any(error.detail == "must not have unknown fields" for error in validate_defaults(raw, ""))
