"""Rules that Roles and ClusterRoles share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.api.selectors import validate_label_selector
from kcp.builtin.fields import mapping, maps, sequence
from kcp.builtin.types.rbac.default_objects import RBACStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object


class PolicyRulesStrategy(RBACStrategy):
    """A role of either kind. A rule applies to resources or to other paths; the latter only in ClusterRoles."""

    namespaced: ClassVar[bool]

    def validate(self, obj: Object) -> list[FieldError]:
        found: list[FieldError] = []
        for index, rule in enumerate(maps(obj, "rules")):
            found += _rule_errors(rule, f"rules[{index}]", namespaced=self.namespaced)
        if not self.namespaced and "aggregationRule" in obj:
            path = "aggregationRule.clusterRoleSelectors"
            selectors = maps(mapping(obj, "aggregationRule"), "clusterRoleSelectors")
            if not selectors:
                why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
                found.append(field_errors.required(path, why))
            for index, selector in enumerate(selectors):
                found += validate_label_selector(selector, f"{path}[{index}]")
        return found

    async def check_permissions(self, obj: Object, old: Object | None, context: RequestContext, name: str) -> None:
        await self.context.escalation.check_role(self.writing(obj, context, name), obj, old)


def _rule_errors(rule: Object, path: str, *, namespaced: bool) -> Iterator[FieldError]:
    if not sequence(rule, "verbs"):
        yield field_errors.required(f"{path}.verbs", "verbs must contain at least one value")
    if urls := sequence(rule, "nonResourceURLs"):
        where = f"{path}.nonResourceURLs"
        if namespaced:
            yield field_errors.invalid(where, urls, "namespaced rules cannot apply to non-resource URLs")
        if any(sequence(rule, name) for name in ("apiGroups", "resources", "resourceNames")):
            yield field_errors.invalid(
                where, urls, "rules cannot apply to both regular resources and non-resource URLs"
            )
        return
    if not sequence(rule, "apiGroups"):
        yield field_errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not sequence(rule, "resources"):
        yield field_errors.required(f"{path}.resources", "resource rules must supply at least one resource")
