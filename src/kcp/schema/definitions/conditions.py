"""The status conditions of a definition, as pure functions of the stored definitions.

Follows apiextensions-apiserver's naming, establishing, non-structural-schema and API approval controllers: names are accepted
unless another definition of the group has them, and an established definition stays established.
"""

from collections.abc import Iterable
from typing import Any, Final

from kcp.api import field_errors
from kcp.schema.definitions.conversion import ca_bundle_is_readable
from kcp.schema.definitions.name_validation import approval_state, is_protected_group
from kcp.schema.definitions.validation_cache import cached_by_content
from kcp.schema.error_limits import limited
from kcp.schema.raw_schemas import Definition, objects, schema, strings, text
from kcp.schema.structural import validate_structural

Condition = dict[str, str]
MAX_VERSIONS: Final = 100
"""How many versions a definition may have (kcp's own limit)."""
_RESOURCE_FIELDS: Final = (("plural", "PluralConflict"), ("singular", "SingularConflict"))
_KIND_FIELDS: Final = (("kind", "KindConflict"), ("listKind", "ListKindConflict"))
_APPROVAL: Final = {
    "Approved": ("True", "ApprovedAnnotation"),
    "Bypassed": ("False", "UnapprovedAnnotation"),
    "Missing": ("False", "MissingAnnotation"),
    "Invalid": ("False", "InvalidAnnotation"),
}


def name_conflicts(definition: Definition, others: Iterable[Definition]) -> tuple[dict[str, Any], Condition]:
    """The accepted names of a definition among the others of its logical cluster, and its NamesAccepted condition."""
    spec = schema(definition, "spec") or {}
    wanted = schema(spec, "names") or {}
    accepted = schema(schema(definition, "status") or {}, "acceptedNames") or {}
    resources, kinds = _taken(definition, others)
    granted = dict(accepted)
    condition = _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")

    def refuse(reason: str, message: str) -> None:
        condition.update(status="False", reason=reason, message=message)

    def grant(field: str, reason: str, taken: set[str]) -> None:
        name = text(wanted, field)
        if name != text(accepted, field) and name in taken:
            refuse(reason, f'"{name}" is already in use')
        else:
            granted[field] = name

    for field, reason in _RESOURCE_FIELDS:
        grant(field, reason, resources)
    short = strings(wanted, "shortNames")
    own = strings(accepted, "shortNames")
    clashes = [f'"{name}" is already in use' for name in short if name not in own and name in resources]
    if clashes:
        refuse("ShortNamesConflict", clashes[0] if len(clashes) == 1 else f"[{', '.join(clashes)}]")
    else:
        granted["shortNames"] = short
    for field, reason in _KIND_FIELDS:
        grant(field, reason, kinds)
    granted["categories"] = strings(wanted, "categories")
    order = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
    return {field: granted[field] for field in order if granted.get(field)} | _required_names(granted), condition


def _required_names(granted: dict[str, Any]) -> dict[str, Any]:
    """``plural`` and ``kind`` are always present."""
    return {field: granted.get(field, "") for field in ("plural", "kind")}


def _taken(definition: Definition, others: Iterable[Definition]) -> tuple[set[str], set[str]]:
    group = text(schema(definition, "spec") or {}, "group")
    own_name = (schema(definition, "metadata") or {}).get("name")
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if text(schema(other, "spec") or {}, "group") != group:
            continue
        if (schema(other, "metadata") or {}).get("name") == own_name:
            continue
        names = schema(schema(other, "status") or {}, "acceptedNames") or {}
        resources.update((text(names, "plural"), text(names, "singular"), *strings(names, "shortNames")))
        kinds.update((text(names, "kind"), text(names, "listKind")))
    return resources - {""}, kinds - {""}


def compute_conditions(
    definition: Definition, others: Iterable[Definition], now: str
) -> tuple[list[Condition], dict[str, Any]]:
    """Compute ``status.conditions`` and ``status.acceptedNames`` of a definition among the others of its logical cluster.

    ``now`` (RFC 3339) is the transition time of changed conditions; conditions of unknown types are kept.
    """
    old = {text(each, "type"): each for each in objects((schema(definition, "status") or {}).get("conditions"))}
    granted, names_accepted = name_conflicts(definition, others)
    computed = [names_accepted, _established(definition, old.get("Established"), names_accepted)]
    optional = {
        "NonStructuralSchema": _non_structural(definition),
        "Terminating": _terminating(definition, old.get("Terminating")),
        "KubernetesAPIApprovalPolicyConformant": _approval(definition),
    }
    computed += [condition for condition in optional.values() if condition is not None]
    result = []
    by_type = {condition["type"]: condition for condition in computed}
    for type_, previous in old.items():
        if type_ in by_type:
            result.append(_stamped(by_type.pop(type_), previous, now))
        elif type_ not in optional:
            result.append(previous)
    result += [_stamped(condition, None, now) for condition in by_type.values()]
    return result, granted


def _condition(type_: str, status: str, reason: str, message: str) -> Condition:
    return {"type": type_, "status": status, "lastTransitionTime": "", "reason": reason, "message": message}


def _stamped(condition: Condition, previous: Condition | None, now: str) -> Condition:
    if condition["lastTransitionTime"]:
        return condition
    same = previous is not None and previous.get("status") == condition["status"]
    return {**condition, "lastTransitionTime": (previous or {}).get("lastTransitionTime") or now if same else now}


def _established(definition: Definition, previous: Condition | None, names_accepted: Condition) -> Condition:
    if previous is not None and previous.get("status") == "True":
        return previous
    if names_accepted["status"] != "True":
        return previous or _condition("Established", "False", "NotAccepted", "not all names are accepted")
    if not ca_bundle_is_readable(schema(schema(definition, "spec") or {}, "conversion")):
        return _condition("Established", "False", "InvalidCABundle", "The conversion webhook CABundle is invalid")
    return _condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")


_structural_errors = cached_by_content(validate_structural)


def _non_structural(definition: Definition) -> Condition | None:
    spec = schema(definition, "spec") or {}
    found = []
    if spec.get("preserveUnknownFields") is True:
        found.append(field_errors.invalid("spec.preserveUnknownFields", True, "must be false"))
    for index, version in enumerate(objects(spec.get("versions"))[:MAX_VERSIONS]):
        raw = schema(schema(version, "schema") or {}, "openAPIV3Schema")
        if raw is not None:
            found += _structural_errors(raw, f"spec.versions[{index}].schema.openAPIV3Schema")
    if not found:
        return None
    seen = list(dict.fromkeys(map(str, limited(found))))
    message = seen[0] if len(seen) == 1 else f"[{', '.join(seen)}]"
    return _condition("NonStructuralSchema", "True", "Violations", message)


def _terminating(definition: Definition, previous: Condition | None) -> Condition | None:
    if not (schema(definition, "metadata") or {}).get("deletionTimestamp"):
        return None
    if previous is not None:
        return previous
    message = "CustomResource deletion is in progress"
    return _condition("Terminating", "True", "InstanceDeletionInProgress", message)


def _approval(definition: Definition) -> Condition | None:
    if not is_protected_group(text(schema(definition, "spec") or {}, "group")):
        return None
    state, message = approval_state((schema(definition, "metadata") or {}).get("annotations"))
    status, reason = _APPROVAL[state]
    return _condition("KubernetesAPIApprovalPolicyConformant", status, reason, message)
