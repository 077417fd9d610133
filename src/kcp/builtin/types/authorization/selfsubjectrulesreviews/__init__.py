"""SelfSubjectRulesReviews (authorization.k8s.io/v1)."""

from __future__ import annotations

from typing import Any, Final

from kcp.api import errors
from kcp.auth.authorization.authorizer import ResourceRule, Rules
from kcp.builtin.fields import mapping, text
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object
from kcp.registry.verbs.large_work import in_thread

_MANY_RULES: Final = 1000
"""Rules that are listed in a thread."""


class SelfSubjectRulesReviewStrategy(BuiltinStrategy):
    """Answers with the rules that hold for the user of the request in a namespace."""

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        namespace = text(mapping(obj, "spec"), "namespace")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        rules = await self.context.authorizer.rules_for(context.user, context.cluster, namespace)
        many = len(rules.resources) + len(rules.paths) > _MANY_RULES
        status = await in_thread(_status_of, rules) if many else _status_of(rules)
        return {**obj, "status": status}


def _status_of(rules: Rules) -> dict[str, Any]:
    status: dict[str, Any] = {
        "resourceRules": [_resource_rule(rule) for rule in rules.resources],
        "nonResourceRules": [{"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)} for rule in rules.paths],
        "incomplete": rules.incomplete,
    }
    if rules.problem:
        status["evaluationError"] = rules.problem
    return status


def _resource_rule(rule: ResourceRule) -> dict[str, Any]:
    found = {"verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)}
    if rule.names:
        found["resourceNames"] = list(rule.names)
    return found
