"""Questions that are answered and not stored (authentication.k8s.io/v1, authorization.k8s.io/v1)."""

from __future__ import annotations

from typing import Any, Final

from kcp.api import errors, field_errors
from kcp.api.field_errors import FieldError
from kcp.api.kinds import GroupKind
from kcp.auth.authentication.authenticator import TokenAuthenticator
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer
from kcp.auth.users import User, user_info
from kcp.builtin.strategies.base import BuiltinStrategy, mapping, sequence, text, texts
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object

_AUTHORIZATION: Final = "authorization.k8s.io"


class SelfSubjectReviewStrategy(BuiltinStrategy):
    """Who am I?"""

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        return {**obj, "status": {"userInfo": user_info(context.user)}}


class TokenReviewStrategy(BuiltinStrategy):
    """Whose token is this?"""

    def __init__(self, tokens: TokenAuthenticator) -> None:
        self._tokens = tokens

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        spec = mapping(obj, "spec")
        token = text(spec, "token")
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        user = await self._tokens.authenticate_token(token.encode())
        if user is None:
            status: dict[str, Any] = {"user": {}, "error": "invalid bearer token"}
        else:
            status = {"authenticated": True, "user": user_info(user)}
            if audiences := texts(spec, "audiences"):
                status["audiences"] = audiences
        return {**obj, "status": status}


class AccessReviewStrategy(BuiltinStrategy):
    """May somebody do this? ``kind`` is one of the three access reviews."""

    def __init__(self, kind: str, authorizer: Authorizer) -> None:
        self._kind = kind
        self._authorizer = authorizer

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        found = self._errors(obj)
        if found:
            raise errors.invalid(GroupKind(_AUTHORIZATION, self._kind), "", found)
        spec = mapping(obj, "spec")
        user = context.user if self._own else _user_of(spec)
        decision = await self._authorizer.decide(user, _attributes(spec, context.cluster))
        status: dict[str, Any] = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return {**obj, "status": status}

    @property
    def _own(self) -> bool:
        return self._kind == "SelfSubjectAccessReview"

    def _errors(self, obj: Object) -> list[FieldError]:
        spec = mapping(obj, "spec")
        resource, path = "resourceAttributes" in spec, "nonResourceAttributes" in spec
        found = []
        if resource and path:
            why = "cannot be specified in combination with resourceAttributes"
            found.append(field_errors.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], why))
        if not resource and not path:
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            found.append(field_errors.invalid("spec.resourceAttributes", None, why))
        if not self._own and not text(spec, "user") and not sequence(spec, "groups"):
            why = "at least one of user or group must be specified"
            found.append(field_errors.invalid("spec.user", "", why))
        if self._kind == "LocalSubjectAccessReview":
            found += _local_errors(obj, spec)
        return found


def _local_errors(obj: Object, spec: Object) -> list[FieldError]:
    if "nonResourceAttributes" in spec:
        why = "disallowed on this kind of request"
        return [field_errors.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], why)]
    namespace = text(mapping(spec, "resourceAttributes"), "namespace")
    if namespace != text(obj["metadata"], "namespace"):
        return [field_errors.invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace")]
    return []


def _user_of(spec: Object) -> User:
    extra = {key: tuple(texts(mapping(spec, "extra"), key)) for key in mapping(spec, "extra")}
    return User(text(spec, "user"), text(spec, "uid"), tuple(texts(spec, "groups")), extra)


def _attributes(spec: Object, cluster: LogicalClusterName) -> AuthorizationAttributes:
    if "resourceAttributes" not in spec:
        asked = mapping(spec, "nonResourceAttributes")
        return AuthorizationAttributes(cluster, text(asked, "verb"), is_resource=False, path=text(asked, "path"))
    asked = mapping(spec, "resourceAttributes")
    return AuthorizationAttributes(
        cluster,
        text(asked, "verb"),
        group=text(asked, "group"),
        version=text(asked, "version"),
        resource=text(asked, "resource"),
        subresource=text(asked, "subresource"),
        namespace=text(asked, "namespace"),
        name=text(asked, "name"),
    )


class RulesReviewStrategy(BuiltinStrategy):
    """What may I do in this namespace?"""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        namespace = text(mapping(obj, "spec"), "namespace")
        if not namespace:
            raise errors.bad_request("no namespace on request")
        rules = await self._authorizer.rules_for(context.user, context.cluster, namespace)
        status: dict[str, Any] = {
            "resourceRules": [
                {"verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)}
                for rule in rules.resources
            ],
            "nonResourceRules": [
                {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)} for rule in rules.paths
            ],
            "incomplete": bool(rules.problem),
        }
        if rules.problem:
            status["evaluationError"] = rules.problem
        return {**obj, "status": status}
