"""Fixtures of the tests of built-in types: the types as a server has them, and writes without a store."""

from collections.abc import Sequence
from typing import Any

import pytest

from kcp.api import metadata
from kcp.auth.authentication.bearer_tokens import BearerTokens
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, NO_OPINION, Decision, PathRule, ResourceRule, Rules
from kcp.auth.authorization.rbac.escalation import EscalationCheck
from kcp.auth.users import MASTERS, User
from kcp.builtin.context import BuiltinContext
from kcp.builtin.registration import builtin_types, declare
from kcp.logical_clusters import DEFAULT
from kcp.registry.contexts import RequestContext
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.decoding import prune_and_default
from tests.support.registry_client import client  # noqa: F401 - a fixture

Object = dict[str, Any]
declare()  # the protobuf messages: tests of bodies need no types

ADMIN = User("admin", "42", (MASTERS,), {"scope": ("all",)})


class MastersOnly:
    """Allows everything to administrators and lists reading of ConfigMaps."""

    def decide(self, user: User, _: AuthorizationAttributes) -> Decision:
        return ALLOWED if MASTERS in user.groups else NO_OPINION

    async def rules_for(self, *_: object) -> Rules:
        return Rules(
            (ResourceRule(("get",), ("",), ("configmaps",), ("a",)),),
            (PathRule(("get",), ("/healthz",)),),
            "more",
            incomplete=True,
        )


class Types:
    """The built-in types by group and plural, and the changes that a write makes to an object before it is stored."""

    def __init__(self, types: Sequence[ResourceType]) -> None:
        self.all = list(types)
        self._by_path = {(type_.group, type_.plural): type_ for type_ in types}

    def __call__(self, plural: str, group: str = "") -> ResourceType:
        return self._by_path[group, plural]

    def create(self, type_: ResourceType, obj: Object, user: User = ADMIN) -> Object:
        """Return the object as it would be stored."""
        self._shape(type_, obj)
        obj["metadata"].setdefault("creationTimestamp", metadata.now())
        context = RequestContext(user, DEFAULT)
        type_.strategy.prepare_for_create(obj, context)
        type_.strategy.set_status_from_other_objects(obj, lambda _: ())
        return obj

    def update(self, type_: ResourceType, obj: Object, old: Object) -> Object:
        """Return the object as it would replace another one."""
        self._shape(type_, obj)
        context = RequestContext(ADMIN, DEFAULT)
        type_.strategy.prepare_for_update(obj, old, context)
        type_.strategy.set_status_from_other_objects(obj, lambda _: ())
        return obj

    def _shape(self, type_: ResourceType, obj: Object) -> None:
        obj.setdefault("apiVersion", type_.api_version)
        obj.setdefault("kind", type_.kind)
        meta = obj.setdefault("metadata", {})
        meta.setdefault("name", "x")
        if type_.namespaced:
            meta.setdefault("namespace", "team")
        prune_and_default(obj, type_)

    def errors(self, type_: ResourceType, obj: Object) -> list[str]:
        """Return the errors of a create."""
        obj = self.create(type_, obj)
        meta = metadata.validate_object_meta(
            obj["metadata"], namespaced=type_.namespaced, name_validator=type_.strategy.name_errors
        )
        found = [*meta, *type_.schema.validate(obj), *type_.strategy.undecodable(obj), *type_.strategy.validate(obj)]
        return list(dict.fromkeys(str(error) for error in found))

    def update_errors(self, type_: ResourceType, obj: Object, old: Object) -> list[str]:
        """Return the errors of an update."""
        old = self.create(type_, old)
        obj = self.update(type_, obj, old)
        found = [*type_.schema.validate(obj, old), *type_.strategy.validate_update(obj, old)]
        return list(dict.fromkeys(str(error) for error in found))


@pytest.fixture(scope="session")
def types() -> Types:
    return Types(
        builtin_types(
            BuiltinContext(
                server_uid="00000000-0000-0000-0000-000000000001",
                created="2024-01-01T00:00:00Z",
                authorizer=MastersOnly(),
                escalation=EscalationCheck(None, MastersOnly()),  # type: ignore[arg-type]  # nothing is stored
                tokens=BearerTokens(()),
            )
        )
    )
