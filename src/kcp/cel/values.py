"""Representation of CEL values that JSON does not have: unsigned integers, timestamps, durations, optionals and types.

Every other value is plain data: int, float, str, bytes, bool, None, list and dict. The first three are subclasses of int, which
makes comparison and hashing as fast as for int; the exact Python type determines the CEL type.
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
    """A timestamp, in nanoseconds since 1970-01-01T00:00:00Z."""

    __slots__ = ()


class Duration(int):
    """A duration in nanoseconds."""

    __slots__ = ()


class Optional:
    """An optional value (``optional_type``)."""

    __slots__ = ("present", "value")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self.value = value

    def get(self) -> Any:
        """The value. Raises EvaluationError if there is none."""
        if not self.present:
            raise EvaluationError("optional.none() dereference")
        return self.value


NONE: Final = Optional(present=False)


class TypeValue:
    """A type as a value, such as the result of ``type(x)``; equal by name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


class Opaque:
    """Base class of library values (URL, quantity, IP); ``cel_type`` is the name of the CEL type."""

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
    """The name of a value's CEL type, without type parameters."""
    name = _NAMES.get(type(value))
    if name is not None:
        return name
    if isinstance(value, Opaque):
        return value.cel_type
    raise EvaluationError(f"unsupported conversion to ref.Val: ({type(value).__name__}){value}")


def no_such_overload() -> EvaluationError:
    """The error of a call whose argument types match no overload."""
    return EvaluationError("no such overload")
