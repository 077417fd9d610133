"""Rules that the three access reviews share (authorization.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from kcp.api import errors, field_errors
from kcp.api.field_errors import MAX_ERRORS, FieldError
from kcp.api.kinds import GroupKind
from kcp.api.selectors import validate_field_requirement, validate_label_requirement
from kcp.auth.authorization.attributes import AuthorizationAttributes, DelegatedAttributes
from kcp.auth.authorization.authorizer import decided
from kcp.auth.users import User
from kcp.builtin.fields import mapping, maps, sequence, text, texts
from kcp.builtin.strategy import BuiltinStrategy
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object

_AUTHORIZATION: Final = "authorization.k8s.io"


class AccessReviewStrategy(BuiltinStrategy):
    """Answers whether a user may make a request."""

    kind: ClassVar[str]
    own: ClassVar[bool] = False
    """The review is about the user of the request."""
    ignored_metadata: ClassVar[frozenset[str]] = frozenset({"managedFields"})
    metadata_problem: ClassVar[str] = "must be empty"

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        found = self.review_errors(obj)
        if found:
            raise errors.invalid(GroupKind(_AUTHORIZATION, self.kind), "", found)
        spec = mapping(obj, "spec")
        user = context.user if self.own else _user_of(spec)
        attributes = _attributes(spec, context.cluster, AuthorizationAttributes if self.own else DelegatedAttributes)
        decision = await decided(self.context.authorizer.decide(user, attributes))
        status: dict[str, Any] = {"allowed": decision.allowed}
        if decision.reason:
            status["reason"] = decision.reason
        return {**obj, "status": status}

    def review_errors(self, obj: Object) -> list[FieldError]:
        """The errors of a review."""
        spec = mapping(obj, "spec")
        resource, path = "resourceAttributes" in spec, "nonResourceAttributes" in spec
        found = []
        if resource and path:
            why = "cannot be specified in combination with resourceAttributes"
            found.append(field_errors.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], why))
        if not resource and not path:
            why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            found.append(field_errors.invalid("spec.resourceAttributes", None, why))
        for kind in ("fieldSelector", "labelSelector"):
            found += _selector_errors(mapping(spec, "resourceAttributes"), kind)
        if not self.own and not text(spec, "user") and not sequence(spec, "groups"):
            why = "at least one of user or group must be specified"
            found.append(field_errors.invalid("spec.user", "", why))
        meta = {name: value for name, value in obj["metadata"].items() if value and name not in self.ignored_metadata}
        if meta:
            found.append(field_errors.invalid("metadata", meta, self.metadata_problem))
        return found


def _selector_errors(attributes: Object, kind: str) -> Iterator[FieldError]:
    if kind not in attributes:
        return
    selector, path = mapping(attributes, kind), f"spec.resourceAttributes.{kind}"
    raw, requirements = text(selector, "rawSelector"), sequence(selector, "requirements")
    if raw and requirements:
        yield field_errors.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    elif not raw and not requirements:
        why = f"when {path} is specified, requirements or rawSelector is required"
        yield field_errors.required(f"{path}.requirements", why)
    for index, requirement in enumerate(maps(selector, "requirements")[:MAX_ERRORS]):
        where = f"{path}.requirements[{index}]"
        if kind == "fieldSelector":
            yield from validate_field_requirement(requirement, where)
        else:
            yield from validate_label_requirement(requirement, where, any_operator=True)


def _user_of(spec: Object) -> User:
    extra = {key: tuple(texts(mapping(spec, "extra"), key)) for key in mapping(spec, "extra")}
    return User(text(spec, "user"), text(spec, "uid"), tuple(texts(spec, "groups")), extra)


def _attributes(
    spec: Object, cluster: LogicalClusterName, form: type[AuthorizationAttributes]
) -> AuthorizationAttributes:
    if "resourceAttributes" not in spec:
        asked = mapping(spec, "nonResourceAttributes")
        return form(cluster, text(asked, "verb"), is_resource=False, path=text(asked, "path"))
    asked = mapping(spec, "resourceAttributes")
    return form(
        cluster,
        text(asked, "verb"),
        group=text(asked, "group"),
        version=text(asked, "version"),
        resource=text(asked, "resource"),
        subresource=text(asked, "subresource"),
        namespace=text(asked, "namespace"),
        name=text(asked, "name"),
    )
