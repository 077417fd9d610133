"""What a user may do with the objects of a resource, collected from what bindings grant.

A verdict holds for one user, verb, resource and namespace, and says on which names. It is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Final, NamedTuple

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import NO_OPINION, Decision
from kcp.auth.authorization.rbac.bindings import Binding, Subject
from kcp.auth.authorization.rbac.roles import ALL_NAMES, CompiledRole, requested

_MANY_NAMES: Final = 64
_MAX_NAMES: Final = 8192
"""Names that a verdict holds; where more are granted, only the decision on the requested name is looked for."""
_MAX_PROBLEMS: Final = 100
"""Missing roles that a reason names. Kubernetes has no such limit."""
_NOT_FOUND: Final = '{}.rbac.authorization.k8s.io "{}" not found'
_NONE: Final[Mapping[str, Decision]] = {}

Grant = tuple[Binding, Subject, CompiledRole | None]
"""A binding, the subject by which a user has it, and the role that it grants; None where the role does not exist."""


class Verdict(NamedTuple):
    """What a user may do with the objects of a resource: the decision on every object, or on those with names.

    The decision on each of a few names is in ``on_named``; ``on_many`` has sets of many names, which would take long to copy.
    """

    on_all: Decision | None
    on_named: Mapping[str, Decision]
    on_many: Sequence[tuple[Set[str], Decision]]
    refusal: Decision

    def on(self, name: str) -> Decision:
        """Return the decision on an object; the empty name is that of a collection."""
        found = self.on_all or self.on_named.get(name)
        if found is not None:
            return found
        return next((decision for names, decision in self.on_many if name in names), self.refusal)


class Problems:
    """The bindings to roles that do not exist."""

    def __init__(self) -> None:
        self._texts: dict[str, None] = {}
        self._more = False

    def add(self, binding: Binding) -> None:
        """Add a binding whose role does not exist."""
        text = _NOT_FOUND.format("role" if binding.role_kind == "Role" else "clusterrole", binding.role_name)
        if len(self._texts) < _MAX_PROBLEMS:
            self._texts[text] = None
        elif text not in self._texts:
            self._more = True

    def __str__(self) -> str:
        return ", ".join([*self._texts, "and more"] if self._more else self._texts)

    def refusal(self) -> Decision:
        """Return no opinion, with the problems as the reason, in Kubernetes' words."""
        if not self._texts:
            return NO_OPINION
        return Decision(False, f"RBAC: {self if len(self._texts) == 1 else f'[{self}]'}")


def allowed(binding: Binding, subject: Subject) -> Decision:
    """Return the decision of a binding that allows a request."""
    return Decision(True, f"RBAC: allowed by {binding.describe(subject)}")


class VerdictOfGrants:
    """Collects a verdict from grants, which are added one by one."""

    def __init__(self, attributes: AuthorizationAttributes) -> None:
        self._name = attributes.name
        self._wanted = requested(attributes.verb, attributes.group, attributes.resource, attributes.subresource)
        self._on_all: Decision | None = None
        self._named: dict[str, Decision] = {}
        self._many: list[tuple[Set[str], Decision]] = []
        self._count = 0
        self._problems = Problems()

    @property
    def is_partial(self) -> bool:
        """Whether the verdict holds for the requested name only: too many names are granted."""
        return self._count > _MAX_NAMES

    def add(self, grant: Grant) -> bool:
        """Add what a binding grants. Returns whether the verdict is found, whatever further grants there are."""
        binding, subject, role = grant
        if role is None:
            self._problems.add(binding)
            return False
        names = role.names_allowed(self._wanted)
        if names is ALL_NAMES:
            self._on_all = allowed(binding, subject)
            return True
        if not names:
            return False
        self._count += len(names)
        if self.is_partial:
            if self._name not in names:
                return False
            self._named[self._name] = allowed(binding, subject)
            return True
        if len(names) > _MANY_NAMES:
            self._many.append((names, allowed(binding, subject)))
        else:
            self._named.update(dict.fromkeys(names, allowed(binding, subject)))
        return False

    def verdict(self) -> Verdict:
        """Return the verdict of what was added."""
        if self._on_all is not None:
            return Verdict(self._on_all, _NONE, (), NO_OPINION)
        return Verdict(None, self._named or _NONE, self._many or (), self._problems.refusal())


class PathDecision:
    """Collects the decision on a path that is not a resource. HEAD is GET without the body, and needs the same permission."""

    def __init__(self, verb: str, path: str) -> None:
        self._verb = "get" if verb == "head" else verb
        self._path = path
        self._allowed: Decision | None = None
        self._problems = Problems()

    def add(self, grant: Grant) -> bool:
        """Add what a binding grants. Returns whether the decision is found."""
        binding, subject, role = grant
        if role is None:
            self._problems.add(binding)
        elif role.allows_path(self._verb, self._path):
            self._allowed = allowed(binding, subject)
        return self._allowed is not None

    def decision(self) -> Decision:
        """Return the decision by what was added."""
        return self._allowed or self._problems.refusal()
