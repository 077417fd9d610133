"""CEL types, and unification of types with parameters, as the language definition's type checker wants them.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#gradual-type-checking
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kcp.cel.schema_types import SchemaType


class Type:
    """A type: ``kind`` says of what sort, ``name`` which one, ``parameters`` of what.

    Kinds: dyn, error, null, bool, int, uint, double, string, bytes, timestamp, duration, list, map, type, opaque, object, param.
    Object types of a schema know it (`schema`); its fields are looked up there.
    """

    __slots__ = ("kind", "name", "parameters", "schema")

    def __init__(
        self, kind: str, name: str = "", parameters: "tuple[Type, ...]" = (), schema: "SchemaType | None" = None
    ):
        self.kind = kind
        self.name = name or kind
        self.parameters = parameters
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Type)
            and self.kind == other.kind
            and self.name == other.name
            and self.parameters == other.parameters
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.name, self.parameters))

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    __repr__ = __str__


DYN: Final = Type("dyn")
ERROR: Final = Type("error", "!error!")
NULL: Final = Type("null")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
TYPE: Final = Type("type")
URL: Final = Type("object", "kubernetes.URL")
QUANTITY: Final = Type("object", "kubernetes.Quantity")
SEMVER: Final = Type("object", "kubernetes.Semver")
NAMED_FORMAT: Final = Type("object", "kubernetes.NamedFormat")
IP: Final = Type("opaque", "net.IP")
CIDR: Final = Type("opaque", "net.CIDR")


def list_of(element: Type) -> Type:
    return Type("list", parameters=(element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", parameters=(key, value))


def type_of(type_: Type) -> Type:
    return Type("type", parameters=(type_,))


def optional_of(type_: Type) -> Type:
    return Type("opaque", "optional_type", (type_,))


def is_optional(type_: Type) -> bool:
    return type_.name == "optional_type"


# Names by which expressions speak of types.
NAMED: Final[dict[str, Type]] = {
    **{name: Type(name) for name in ("bool", "int", "uint", "double", "string", "bytes", "type")},
    "null_type": NULL,
    "list": list_of(DYN),
    "map": map_of(DYN, DYN),
    "optional_type": optional_of(DYN),
    "google.protobuf.Timestamp": TIMESTAMP,
    "google.protobuf.Duration": DURATION,
    "net.IP": IP,
    "net.CIDR": CIDR,
    "kubernetes.URL": URL,
    "kubernetes.Quantity": QUANTITY,
    "kubernetes.Semver": SEMVER,
}


class Substitution(dict[str, Type]):
    """What type parameters were found to be, with a way back: a long expression has too many for a copy at each try."""

    def __init__(self) -> None:
        super().__init__()
        self._trail: list[tuple[str, Type | None]] = []

    def bind(self, name: str, type_: Type) -> None:
        self._trail.append((name, self.get(name)))
        self[name] = type_

    def mark(self) -> int:
        """Where `rollback` can return to."""
        return len(self._trail)

    def rollback(self, mark: int) -> None:
        """Forget what was bound after a mark."""
        while len(self._trail) > mark:
            name, before = self._trail.pop()
            if before is None:
                del self[name]
            else:
                self[name] = before


_NULLABLE: Final = frozenset(["opaque", "object", "timestamp", "duration"])
_WITH_PARAMETERS: Final = frozenset(["opaque", "list", "map"])


def substitute(found: Mapping[str, Type], type_: Type, *, to_dyn: bool = False) -> Type:
    """The type with its parameters replaced by what they were found to be; the rest by dyn when `to_dyn`."""
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
    """Whether a value of the type `left` may stand where `right` is wanted; learns parameters into `found`."""
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
    """`assignable` for each of two lists of types of one length."""
    return len(left) == len(right) and all(assignable(found, one, two) for one, two in zip(left, right, strict=True))


def most_general(left: Type, right: Type) -> Type:
    """The less specific of two types that unify."""
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
    """Try to let `parameter` stand for `type_`: whether that works, and whether it was bound before."""
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
