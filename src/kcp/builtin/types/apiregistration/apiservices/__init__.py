"""APIServices (apiregistration.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import canonical_bytes, decoded_size, integer, mapping, maps, one_of, text
from kcp.builtin.strategy import PathSegmentNames, age
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object


class APIServiceStrategy(PathSegmentNames):
    """APIServices are named after the version that they register: ``<version>.<group>``."""

    finalizers_need_domain = False
    allow_unconditional_update = False
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {}, "status": {}}

    def default(self, obj: Object) -> None:
        super().default(obj)
        canonical_bytes(mapping(obj, "spec"), ("caBundle",))

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        conditions = []
        if "service" not in mapping(obj, "spec"):
            conditions.append(
                {
                    "type": "Available",
                    "status": "True",
                    "lastTransitionTime": obj["metadata"]["creationTimestamp"],
                    "reason": "Local",
                    "message": "Local APIServices are always available",
                }
            )
        obj["status"] = {"conditions": conditions} if conditions else {}

    def validate(self, obj: Object) -> list[FieldError]:
        spec = mapping(obj, "spec")
        group, version = text(spec, "group"), text(spec, "version")
        found = []
        name = text(obj["metadata"], "name")
        if name != f"{version}.{group}" and not names.is_path_segment_name(name):
            why = f'must be `spec.version+"."+spec.group`: "{version}.{group}"'
            found.append(field_errors.invalid("metadata.name", name, why))
        if not group and version != "v1":
            why = "only v1 may have an empty group and it better be legacy kube"
            found.append(field_errors.required("spec.group", why))
        if group:
            found += [field_errors.invalid("spec.group", group, why) for why in names.is_dns1123_subdomain(group)]
        found += [field_errors.invalid("spec.version", version, why) for why in names.is_dns1035_label(version)]
        for field, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
            value = integer(spec, field) or 0
            if not 0 < value <= limit:
                found.append(field_errors.invalid(f"spec.{field}", value, f"must be positive and less than {limit}"))
        return found + (_service_errors(spec) if "service" in spec else _local_errors(spec))

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        found: list[FieldError] = []
        for index, condition in enumerate(maps(mapping(obj, "status"), "conditions")):
            found += one_of(condition, "status", f"status.conditions[{index}]", ("True", "False", "Unknown"))
        return found

    def cells(self, obj: Object) -> list[Any] | None:
        service = mapping(mapping(obj, "spec"), "service")
        shown = f"{text(service, 'namespace')}/{text(service, 'name')}" if service else "Local"
        available = "Unknown"
        for condition in maps(mapping(obj, "status"), "conditions"):
            if condition.get("type") == "Available":
                available = text(condition, "status")
                if available != "True" and condition.get("reason"):
                    available += f" ({condition['reason']})"
        return [shown, available, age(obj)]


def _local_errors(spec: Object) -> list[FieldError]:
    found = []
    if size := decoded_size(spec.get("caBundle")):
        why = "local APIServices may not have a caBundle"
        found.append(field_errors.invalid("spec.caBundle", f"{size} bytes", why))
    if spec.get("insecureSkipTLSVerify"):
        why = "local APIServices may not have insecureSkipTLSVerify"
        found.append(field_errors.invalid("spec.insecureSkipTLSVerify", True, why))
    return found


def _service_errors(spec: Object) -> list[FieldError]:
    service = mapping(spec, "service")
    found = [field_errors.required(f"spec.service.{name}") for name in ("namespace", "name") if not text(service, name)]
    port = service.get("port", 443)
    if type(port) is int and not 1 <= port <= 65535:
        why = "port is not valid: must be between 1 and 65535, inclusive"
        found.append(field_errors.invalid("spec.service.port", port, why))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        why = "may not be true if caBundle is present"
        found.append(field_errors.invalid("spec.insecureSkipTLSVerify", True, why))
    return found
