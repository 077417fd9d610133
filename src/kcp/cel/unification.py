"""Unification of types with type parameters, as the language definition's type checker does it.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#gradual-type-checking
"""

from collections.abc import Mapping
from typing import Final

from kcp.cel.types import DYN, Type

_NULLABLE: Final = frozenset(["opaque", "object", "timestamp", "duration"])
_WITH_PARAMETERS: Final = frozenset(["opaque", "list", "map"])


class Substitution(dict[str, Type]):
    """The bindings of type parameters, with rollback: copying them for each attempt would be quadratic."""

    def __init__(self) -> None:
        super().__init__()
        self._trail: list[tuple[str, Type | None]] = []

    def bind(self, name: str, type_: Type) -> None:
        """Bind a type variable, so that `rollback` can undo it."""
        self._trail.append((name, self.get(name)))
        self[name] = type_

    def mark(self) -> int:
        """The current state, for `rollback`."""
        return len(self._trail)

    def rollback(self, mark: int) -> None:
        """Undo the bindings made after a mark."""
        while len(self._trail) > mark:
            name, before = self._trail.pop()
            if before is None:
                del self[name]
            else:
                self[name] = before


def substitute(found: Mapping[str, Type], type_: Type, *, to_dyn: bool = False) -> Type:
    """Replace type parameters by their bindings, and unbound ones by dyn if `to_dyn`."""
    if type_.kind == "param":
        bound = found.get(type_.name)
        if bound is not None:
            return substitute(found, bound, to_dyn=to_dyn)
        return DYN if to_dyn else type_
    if not type_.parameters:
        return type_
    parameters = tuple(substitute(found, parameter, to_dyn=to_dyn) for parameter in type_.parameters)
    return type_ if parameters == type_.parameters else Type(type_.kind, type_.name, parameters, type_.schema)


def assignable(found: Substitution, left: Type, right: Type) -> bool:
    """Whether a value of type `left` is assignable to `right`; binds type parameters in `found`."""
    if right.kind == "param":
        valid, bound = _bind(found, left, right)
        if valid:
            return True
        if bound:
            return False
    if left.kind == "param":
        return _bind(found, right, left)[0]
    if left.kind in {"dyn", "error"} or right.kind in {"dyn", "error"}:
        return True
    if left.kind == "null" or right.kind == "null":
        other = right if left.kind == "null" else left
        return other.kind == "null" or other.kind in _NULLABLE
    if left.kind != right.kind:
        return False
    if left.kind in _WITH_PARAMETERS:
        return left.name == right.name and all_assignable(found, left.parameters, right.parameters)
    return left.kind == "type" or left.name == right.name


def all_assignable(found: Substitution, left: tuple[Type, ...], right: tuple[Type, ...]) -> bool:
    """Whether the types of one list are assignable to those of the other, pairwise."""
    return len(left) == len(right) and all(assignable(found, one, two) for one, two in zip(left, right, strict=True))


def most_general(left: Type, right: Type) -> Type:
    """The more general of two types that unify."""
    return left if _less_specific(left, right) else right


def _less_specific(left: Type, right: Type) -> bool:
    if left.kind in {"dyn", "param"}:
        return True
    if right.kind in {"dyn", "param"} or left.kind != right.kind:
        return False
    if left.kind in _WITH_PARAMETERS:
        if left.name != right.name or len(left.parameters) != len(right.parameters):
            return False
        return all(_less_specific(one, two) for one, two in zip(left.parameters, right.parameters, strict=True))
    return left.kind == "type" or left == right


def _bind(found: Substitution, type_: Type, parameter: Type) -> tuple[bool, bool]:
    """Try to bind `parameter` to `type_`; returns (success, whether it was bound before)."""
    if type_ == parameter:
        return True, True
    bound = found.get(parameter.name)
    if bound is not None:
        if type_ == bound:
            return True, True
        if assignable(found, type_, bound):
            general = most_general(type_, bound)
            if not _occurs(found, parameter, general):
                found.bind(parameter.name, general)
            return True, True
        return False, True
    if _occurs(found, parameter, type_):
        return False, False
    found.bind(parameter.name, type_)
    return True, False


def _occurs(found: Substitution, parameter: Type, within: Type) -> bool:
    if within == parameter:
        return True
    if within.kind == "param":
        bound = found.get(within.name)
        return bound is not None and _occurs(found, parameter, bound)
    return any(_occurs(found, parameter, inner) for inner in within.parameters)
