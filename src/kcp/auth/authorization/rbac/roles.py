"""Roles, compiled once for each content: a table from a resource to the rules that name it.

Follows the Kubernetes page "Using RBAC Authorization" and k8s.io/component-helpers' ``auth/rbac/validation``: how a rule
matches a request.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

import orjson

from kcp.auth.authorization.authorizer import PathRule, ResourceRule

ALL: Final = "*"
ALL_NAMES: Final = frozenset({ALL})
"""In place of the names that a rule is limited to: every object. An object cannot be named ``*`` in a rule."""
NO_NAMES: Final[frozenset[str]] = frozenset()
MANY_RULES: Final = 1000
"""Rules that are put together in a thread."""

_PATHS: Final = "nonResourceURLs"

Rule = Mapping[str, Any]


class RequestedResource(NamedTuple):
    """A verb on a resource as rules are searched for it; ``keys`` are the entries of ``resources`` in a rule that cover it."""

    verb: str
    group: str
    keys: tuple[str, ...]


def requested(verb: str, group: str, resource: str, subresource: str = "") -> RequestedResource:
    """Return what rules are searched for. Rules name a subresource as ``pods/log``, or ``*/log`` for that of all resources."""
    if subresource:
        return RequestedResource(verb, group, (f"{resource}/{subresource}", ALL, f"*/{subresource}"))
    return RequestedResource(verb, group, (resource, ALL))


class _ResourceEntry(NamedTuple):
    """A rule on a resource. None stands for all verbs, groups or names."""

    verbs: frozenset[str] | None
    groups: frozenset[str] | None
    names: frozenset[str] | None


class _PathEntry(NamedTuple):
    """A rule on paths that are not resources. ``prefixes`` are the patterns that end with ``*``, without it."""

    verbs: frozenset[str] | None
    paths: frozenset[str]
    prefixes: tuple[str, ...]


class CompiledRole:
    """The rules of a role. Immutable, and shared by all roles with the same rules.

    ``resource_rules`` and ``path_rules`` are the rules as they were written, ``size`` the bytes of their JSON.
    """

    __slots__ = ("__weakref__", "_paths", "_resources", "path_rules", "resource_rules", "size")

    def __init__(self, resource_rules: Iterable[ResourceRule], path_rules: Iterable[PathRule], size: int = 0) -> None:
        self.size = size
        self.resource_rules = tuple(resource_rules)
        self.path_rules = tuple(path_rules)
        self._paths = tuple(_path_entry(rule) for rule in self.path_rules)
        self._resources: dict[str, list[_ResourceEntry]] = {}
        for rule in self.resource_rules:
            names = frozenset(rule.names) or None
            entry = _ResourceEntry(_set_or_all(rule.verbs), _set_or_all(rule.groups), names)
            for resource in dict.fromkeys(rule.resources):
                self._resources.setdefault(resource, []).append(entry)

    def names_allowed(self, wanted: RequestedResource) -> Set[str]:
        """Return the names of the objects on which the verb is allowed: `ALL_NAMES`, or those of rules with ``resourceNames``."""
        verb, group, keys = wanted
        found: Set[str] = NO_NAMES
        resources = self._resources
        for key in keys:
            entries = resources.get(key)
            if entries is None:
                continue
            for verbs, groups, names in entries:
                if (groups is None or group in groups) and (verbs is None or verb in verbs):
                    if names is None:
                        return ALL_NAMES
                    if not found:
                        found = names
                    elif isinstance(found, set):
                        found.update(names)
                    else:  # that of a rule
                        found = {*found, *names}
        return found

    def allows_path(self, verb: str, path: str) -> bool:
        """Whether a verb is allowed on a path that is not a resource."""
        for verbs, paths, prefixes in self._paths:
            if (verbs is None or verb in verbs) and (path in paths or path.startswith(prefixes)):
                return True
        return False


def _path_entry(rule: PathRule) -> _PathEntry:
    prefixes = tuple(pattern.rstrip(ALL) for pattern in rule.paths if pattern.endswith(ALL))
    return _PathEntry(_set_or_all(rule.verbs), frozenset(rule.paths), prefixes)


def _set_or_all(values: Iterable[str]) -> frozenset[str] | None:
    found = frozenset(values)
    return None if ALL in found else found


def _texts(rule: Rule, name: str) -> tuple[str, ...]:
    return tuple(rule.get(name) or ())


_compiled: Final[WeakValueDictionary[bytes, CompiledRole]] = WeakValueDictionary()
"""The roles in use, by a digest of their rules."""


def compile_rules(rules: Sequence[Rule]) -> CompiledRole:
    """Return the role with these rules, which all roles of the same rules share."""
    content = orjson.dumps(rules)
    digest = hashlib.sha256(content).digest()
    found = _compiled.get(digest)
    if found is None:
        resources = [
            ResourceRule(*(_texts(rule, name) for name in ("verbs", "apiGroups", "resources", "resourceNames")))
            for rule in rules
            if rule.get("resources")
        ]
        paths = [PathRule(_texts(rule, "verbs"), _texts(rule, _PATHS)) for rule in rules if rule.get(_PATHS)]
        found = _compiled[digest] = CompiledRole(resources, paths, len(content))
    return found


def rule_count(roles: Iterable[CompiledRole | None]) -> int:
    """Return the number of the rules of all roles."""
    return sum(len(role.resource_rules) + len(role.path_rules) for role in roles if role is not None)


def merged(roles: Iterable[CompiledRole]) -> CompiledRole:
    """Return a role with the rules of all of these."""
    distinct = dict.fromkeys(roles)
    return CompiledRole(
        [rule for role in distinct for rule in role.resource_rules],
        [rule for role in distinct for rule in role.path_rules],
    )


def rules_of(role: Mapping[str, Any]) -> Sequence[Rule]:
    """Return the rules of a role object."""
    return role.get("rules") or ()
