"""How CEL values that JSON does not have are held: unsigned integers, instants, durations, optionals and types.

Everything else is plain data: int, float, str, bytes, bool, None, list and dict. The first three are subclasses of int, so
that comparing and hashing them is as fast as for int; their CEL type is told by their exact Python type.
"""

from typing import Any, Final

from kcp.cel.errors import EvaluationError

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1


class Uint(int):
    """An unsigned 64-bit integer."""

    __slots__ = ()


class Timestamp(int):
    """An instant, as nanoseconds since 1970 in UTC."""

    __slots__ = ()


class Duration(int):
    """A span of time in nanoseconds."""

    __slots__ = ()


class Optional:
    """A value that may be missing."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self.value = value

    def get(self) -> Any:
        """The value; EvaluationError when there is none."""
        if not self.present:
            raise EvaluationError("optional.none() dereference")
        return self.value


NONE: Final = Optional(present=False)


class TypeValue:
    """A type as a value: what ``type(x)`` gives and what the name of a type stands for. Two are equal by name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Opaque:
    """The base of the libraries' own values (URL, quantity, IP, ...): ``cel_type`` is the name of the CEL type."""

    __slots__ = ()
    cel_type: str = ""


_NAMES: Final[dict[type, str]] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Optional: "optional_type",
    TypeValue: "type",
}


def type_name(value: Any) -> str:
    """The name of a value's CEL type, without parameters."""
    name = _NAMES.get(type(value))
    if name is not None:
        return name
    if isinstance(value, Opaque):
        return value.cel_type
    raise EvaluationError(f"unsupported conversion to ref.Val: ({type(value).__name__}){value}")


def no_such_overload() -> EvaluationError:
    """The error for an operation on values of types that it does not take."""
    return EvaluationError("no such overload")
