"""Rules that RoleBindings and ClusterRoleBindings share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import mapping, maps, text
from kcp.builtin.strategy import age
from kcp.builtin.types.rbac.default_objects import RBACStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object

_ABSENT: Final = (None, "")
GROUP: Final = "rbac.authorization.k8s.io"


class BindingStrategy(RBACStrategy):
    """A binding of either kind. Its roleRef is immutable."""

    namespaced: ClassVar[bool]

    def default(self, obj: Object) -> None:
        super().default(obj)
        role = obj.get("roleRef")
        if isinstance(role, dict) and role.get("apiGroup") in _ABSENT:
            role["apiGroup"] = GROUP
        for subject in maps(obj, "subjects"):
            if subject.get("apiGroup") in _ABSENT and text(subject, "kind") in {"User", "Group"}:
                subject["apiGroup"] = GROUP

    def validate(self, obj: Object) -> list[FieldError]:
        role = mapping(obj, "roleRef")
        found = []
        if text(role, "apiGroup") != GROUP:
            found.append(field_errors.not_supported("roleRef.apiGroup", text(role, "apiGroup"), [GROUP]))
        kinds = ("Role", "ClusterRole") if self.namespaced else ("ClusterRole",)
        if text(role, "kind") not in kinds:
            found.append(field_errors.not_supported("roleRef.kind", text(role, "kind"), kinds))
        name = text(role, "name")
        if not name:
            found.append(field_errors.required("roleRef.name"))
        found += [field_errors.invalid("roleRef.name", name, why) for why in names.is_path_segment_name(name)]
        for index, subject in enumerate(maps(obj, "subjects")):
            found += _subject_errors(subject, f"subjects[{index}]", namespaced=self.namespaced)
        return found

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        found = self.validate(obj)
        if obj.get("roleRef") != old.get("roleRef"):
            found.append(field_errors.invalid("roleRef", obj.get("roleRef"), "cannot change roleRef"))
        return found

    async def check_permissions(self, obj: Object, old: Object | None, context: RequestContext, name: str) -> None:
        await self.context.escalation.check_binding(self.writing(obj, context, name), obj, old)

    def cells(self, obj: Object) -> list[Any] | None:
        role = mapping(obj, "roleRef")
        by_kind: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
        for subject in maps(obj, "subjects"):
            name = text(subject, "name")
            if subject.get("kind") == "ServiceAccount":
                name = f"{text(subject, 'namespace')}/{name}"
            by_kind.setdefault(text(subject, "kind"), []).append(name)
        grantees = [", ".join(by_kind[kind]) for kind in ("User", "Group", "ServiceAccount")]
        return [f"{text(role, 'kind')}/{text(role, 'name')}", age(obj), *grantees]


def _subject_errors(subject: Object, path: str, *, namespaced: bool) -> Iterator[FieldError]:
    kind, name, group = text(subject, "kind"), text(subject, "name"), text(subject, "apiGroup")
    if not name:
        yield field_errors.required(f"{path}.name")
    if kind == "ServiceAccount":
        if name:
            for why in names.is_dns1123_subdomain(name):
                yield field_errors.invalid(f"{path}.name", name, why)
        if group:
            yield field_errors.not_supported(f"{path}.apiGroup", group, [""])
        if not namespaced and not text(subject, "namespace"):
            yield field_errors.required(f"{path}.namespace")
    elif kind in {"User", "Group"}:
        if not name:
            yield field_errors.invalid(f"{path}.name", name, f"{kind.lower()} name cannot be empty")
        if group != GROUP:
            yield field_errors.not_supported(f"{path}.apiGroup", group, [GROUP])
    else:
        yield field_errors.not_supported(f"{path}.kind", kind, ["ServiceAccount", "User", "Group"])
