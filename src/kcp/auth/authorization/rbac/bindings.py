"""The bindings of a logical cluster, by the subjects that they name.

Follows k8s.io/kubernetes' ``registry/rbac/validation/rule.go``: which subjects a user is, and how a binding is described.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any, Final

from kcp.auth.users import User

GROUP: Final = "Group"
SERVICE_ACCOUNT: Final = "ServiceAccount"
_SERVICE_ACCOUNT_USER: Final = "system:serviceaccount:"
_USER_PREFIX: Final = "User "
_GROUP_PREFIX: Final = "Group "
_FEW_SUBJECTS: Final = 16
"""Subjects of all bindings up to which they are searched one by one."""

Subject = str
"""A subject as the index has it: its kind, a space and its name. A service account is the user that it authenticates as."""
Identity = tuple[str, str]
"""A namespace (empty for cluster-scoped objects) and a name."""


class Binding:
    """A RoleBinding in a namespace, or a ClusterRoleBinding, whose namespace is empty. Immutable."""

    __slots__ = ("name", "namespace", "role_kind", "role_name", "subjects")

    def __init__(self, namespace: str, name: str, role_kind: str, role_name: str, subjects: Iterable[Subject]) -> None:
        self.namespace = namespace
        self.name = name
        self.role_kind = role_kind
        self.role_name = role_name
        self.subjects = tuple(dict.fromkeys(subjects))

    @property
    def identity(self) -> Identity:
        """The namespace and the name."""
        return self.namespace, self.name

    @property
    def size(self) -> int:
        """The number of subjects; a binding without any counts as one."""
        return len(self.subjects) or 1

    @property
    def role(self) -> Identity:
        """The role: a Role of the binding's namespace, or a ClusterRole."""
        return (self.namespace if self.role_kind == "Role" else ""), self.role_name

    def describe(self, subject: Subject) -> str:
        """Describe what a subject is granted, as kube-apiserver's reasons do."""
        name = f'RoleBinding "{self.name}/{self.namespace}"' if self.namespace else f'ClusterRoleBinding "{self.name}"'
        return f'{name} of {self.role_kind} "{self.role_name}" to {_described(subject)}'


def _described(subject: Subject) -> str:
    kind, _, name = subject.partition(" ")
    if subject.startswith(_USER_PREFIX + _SERVICE_ACCOUNT_USER):
        namespace, _, name = name.removeprefix(_SERVICE_ACCOUNT_USER).partition(":")
        return f'{SERVICE_ACCOUNT} "{name}/{namespace}"'
    return f'{kind} "{name}"'


def read_binding(namespace: str, obj: Mapping[str, Any]) -> Binding:
    """Return a binding object as the index has it."""
    role = obj.get("roleRef") or {}
    subjects = _subjects(namespace, obj.get("subjects") or ())
    return Binding(
        intern(namespace),
        intern(obj["metadata"]["name"]),
        intern(role.get("kind", "")),
        intern(role.get("name", "")),
        subjects,
    )


def _subjects(namespace: str, subjects: Iterable[Mapping[str, Any]]) -> Iterator[Subject]:
    for subject in subjects:
        kind, name = subject.get("kind", ""), subject.get("name", "")
        if kind == SERVICE_ACCOUNT:
            where = subject.get("namespace") or namespace
            if where:
                yield f"{_USER_PREFIX}{_SERVICE_ACCOUNT_USER}{where}:{name}"
        elif kind == GROUP:
            yield _GROUP_PREFIX + name
        elif kind == "User":
            yield _USER_PREFIX + name


def subjects_of(user: User) -> list[Subject]:
    """Return the subjects that a user is: the user and each group."""
    return [_USER_PREFIX + user.name, *[_GROUP_PREFIX + group for group in user.groups]]


class BindingIndex:
    """Bindings, found by namespace and subject. Few of them are kept in a row: most logical clusters have a handful."""

    __slots__ = ("_by_name", "_by_namespace", "_few", "size")

    def __init__(self, bindings: Iterable[Binding] = ()) -> None:
        self.size = 0
        """The subjects of all bindings; a binding without any counts as one."""
        self._few: tuple[Binding, ...] | None = ()
        self._by_name: dict[Identity, Binding] | None = None
        self._by_namespace: dict[str, dict[Subject, list[Binding]]] | None = None
        for binding in bindings:
            self.put(binding)

    def __contains__(self, identity: Identity) -> bool:
        if self._by_name is not None:
            return identity in self._by_name
        return any(binding.identity == identity for binding in self._few or ())

    def put(self, binding: Binding) -> None:
        """Add a binding, in place of the one of its name."""
        self.remove(binding.identity)
        self.size += binding.size
        if self._few is not None:
            self._few = (*self._few, binding)
            if self.size <= _FEW_SUBJECTS:
                return
            few, self._few, self._by_name, self._by_namespace = self._few, None, {}, {}
            for each in few:
                self._index(each)
        else:
            self._index(binding)

    def _index(self, binding: Binding) -> None:
        assert self._by_name is not None
        assert self._by_namespace is not None
        self._by_name[binding.identity] = binding
        _add(binding, self._by_namespace.setdefault(binding.namespace, {}))

    def remove(self, identity: Identity) -> None:
        """Remove the binding of a namespace and name, if there is one."""
        if self._few is not None:
            self._few = tuple([binding for binding in self._few if binding.identity != identity])
            self.size = sum([binding.size for binding in self._few])
            return
        assert self._by_name is not None
        assert self._by_namespace is not None
        binding = self._by_name.pop(identity, None)
        if binding is None:
            return
        self.size -= binding.size
        bound = self._by_namespace[binding.namespace]
        for subject in binding.subjects:
            bound[subject].remove(binding)
            if not bound[subject]:
                del bound[subject]
        if not bound:
            del self._by_namespace[binding.namespace]

    def of(self, namespace: str) -> Mapping[Subject, Sequence[Binding]]:
        """Return the bindings in a namespace (empty: ClusterRoleBindings) by subject."""
        if self._by_namespace is not None:
            return self._by_namespace.get(namespace, _NONE)
        found: dict[Subject, list[Binding]] = {}
        for binding in self._few or ():
            if binding.namespace == namespace:
                _add(binding, found)
        return found


def _add(binding: Binding, bound: dict[Subject, list[Binding]]) -> None:
    for subject in binding.subjects:
        bound.setdefault(subject, []).append(binding)


_NONE: Final[Mapping[Subject, Sequence[Binding]]] = {}
