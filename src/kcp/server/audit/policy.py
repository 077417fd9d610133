"""An audit policy: the level at which a request is recorded, by the first rule that matches it.

Follows audit.k8s.io/v1 ``Policy`` and k8s.io/apiserver's policy evaluator. A request that no rule matches is not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.users import User
from kcp.server.audit.stages import NONE

_ANY: Final = "*"


class Recording(NamedTuple):
    """How a request is recorded: the level, the stages without an event, and whether managed fields are left out of bodies."""

    level: str
    omit_stages: frozenset[str]
    omit_managed_fields: bool


@dataclass(frozen=True, slots=True)
class GroupResources:
    """Resources of one API group; no resources are all of them and their subresources, no names are all objects."""

    group: str
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()

    def matches(self, attributes: AuthorizationAttributes) -> bool:
        """Whether the object or collection of a request is among the resources."""
        if self.group != attributes.group:
            return False
        resources = self.resources
        if not resources:
            return True
        if self.names and attributes.name not in self.names:
            return False
        resource, subresource = attributes.resource, attributes.subresource
        if _ANY in resources or f"{resource}/*" in resources:
            return True
        if not subresource:
            return resource in resources
        return f"{resource}/{subresource}" in resources or f"*/{subresource}" in resources


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: empty conditions match everything, and all conditions must match."""

    recording: Recording
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    namespaces: frozenset[str] = frozenset()
    resources: tuple[GroupResources, ...] = ()
    paths: tuple[str, ...] = ()
    """Paths that are not resources; one that ends with ``*`` matches by its prefix."""

    def matches(self, user: User | None, attributes: AuthorizationAttributes) -> bool:
        """Whether the rule is about a request. ``user`` is None for a request that was not authenticated."""
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and attributes.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._matches_resource(attributes)
        return not self.paths or self._matches_path(attributes)

    def _matches_resource(self, attributes: AuthorizationAttributes) -> bool:
        if not attributes.is_resource or (self.namespaces and attributes.namespace not in self.namespaces):
            return False
        return not self.resources or any(each.matches(attributes) for each in self.resources)

    def _matches_path(self, attributes: AuthorizationAttributes) -> bool:
        if attributes.is_resource:
            return False
        path = attributes.path
        return any(path == each or (each.endswith(_ANY) and path.startswith(each[:-1])) for each in self.paths)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in their order. They are grouped by verb, so that a request is compared only with those that name its verb."""

    rules: Sequence[Rule]
    _by_verb: dict[str, tuple[Rule, ...]] = field(init=False, repr=False)
    _other: tuple[Rule, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        verbs = {verb for rule in self.rules for verb in rule.verbs}
        by_verb = {verb: tuple(rule for rule in self.rules if not rule.verbs or verb in rule.verbs) for verb in verbs}
        object.__setattr__(self, "_by_verb", by_verb)
        object.__setattr__(self, "_other", tuple(rule for rule in self.rules if not rule.verbs))

    def recording_of(self, user: User | None, attributes: AuthorizationAttributes) -> Recording | None:
        """Return how a request is recorded, or None when it is not."""
        for rule in self._by_verb.get(attributes.verb, self._other):
            if rule.matches(user, attributes):
                return None if rule.recording.level == NONE else rule.recording
        return None
