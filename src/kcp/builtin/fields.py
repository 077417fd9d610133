"""Reading and checking the members of an object whose shape may still be wrong.

Strategies run beside the schema's validation, so that a client learns all errors at once. A member of the wrong type therefore
counts as absent here: the schema reports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.api.times import canonical_micro_time, check_micro_time, parse_time, whole_time
from kcp.registry.types.strategies import Object

IMMUTABLE: Final = "field is immutable"
NOT_NEGATIVE: Final = "must be greater than or equal to 0"
_MAPPINGS: Final = (dict, Mapping)
"""A check against an abstract class alone is slow, and most objects are dicts."""


def drop_nulls(node: Any) -> None:
    """Remove null members from a value and all maps below, in place."""
    if isinstance(node, dict):
        empty = None
        for key, value in node.items():
            if value is None:
                empty = [*(empty or ()), key]
            elif isinstance(value, (dict, list)):
                drop_nulls(value)
        for key in empty or ():
            del node[key]
    elif isinstance(node, list):
        for item in node:
            if isinstance(item, (dict, list)):
                drop_nulls(item)


def canonical_times(obj: dict[str, Any], members: Iterable[str]) -> None:
    """Write these members, which are times, in canonical form, in place; a malformed one is left for the schema to report."""
    for name in members:
        value = obj.get(name)
        if isinstance(value, str):
            with suppress(ValueError, OverflowError):
                obj[name] = whole_time(parse_time(value))


def canonical_micro_times(obj: dict[str, Any], members: Iterable[str]) -> None:
    """Write these members, which are MicroTimes, in canonical form, in place; a malformed one is left for `micro_time_errors`."""
    for name in members:
        value = obj.get(name)
        if isinstance(value, str):
            with suppress(ValueError, OverflowError):
                obj[name] = canonical_micro_time(value)


def micro_time_errors(obj: Mapping[str, Any], members: Iterable[str], path: str = "") -> Iterator[FieldError]:
    """An error for each of these members that is not a MicroTime: Kubernetes decodes only those with six decimals."""
    for name in members:
        value = obj.get(name)
        if isinstance(value, str):
            try:
                check_micro_time(value)
            except ValueError as wrong:
                yield field_errors.undecodable(f"{path}{name}", value, str(wrong))


def canonical_bytes(obj: dict[str, Any], members: Iterable[str] | None = None) -> None:
    """Remove line ends from these members, or all, which are base64, in place: decoders in Go skip them.

    Named members are fields of a struct: an empty one is removed. Keys of a map are kept.
    """
    for name in obj if members is None else members:
        value = obj.get(name)
        if isinstance(value, str) and ("\n" in value or "\r" in value):
            obj[name] = value.replace("\n", "").replace("\r", "")
    if members is not None:
        for name in members:
            if obj.get(name) == "":
                del obj[name]


def text(obj: Mapping[str, Any] | None, name: str) -> str:
    """A string member; empty if it is absent or of another type."""
    value = obj.get(name) if isinstance(obj, _MAPPINGS) else None
    return value if isinstance(value, str) else ""


def mapping(obj: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """A map member; empty if it is absent or of another type."""
    value = obj.get(name) if isinstance(obj, _MAPPINGS) else None
    return value if isinstance(value, dict) else {}


def sequence(obj: Mapping[str, Any] | None, name: str) -> list[Any]:
    """A list member; empty if it is absent or of another type."""
    value = obj.get(name) if isinstance(obj, _MAPPINGS) else None
    return value if isinstance(value, list) else []


def maps(obj: Mapping[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """The items of a list of maps; an item of another type becomes an empty map, so that indexes stay the same."""
    return [item if isinstance(item, dict) else {} for item in sequence(obj, name)]


def texts(obj: Mapping[str, Any] | None, name: str) -> list[str]:
    """The items of a list of strings; an item of another type becomes an empty string."""
    return [item if isinstance(item, str) else "" for item in sequence(obj, name)]


def integer(obj: Mapping[str, Any] | None, name: str) -> int | None:
    """An integer member; None if it is absent or of another type."""
    value = obj.get(name) if isinstance(obj, _MAPPINGS) else None
    return value if type(value) is int else None


def keep(obj: Object, old: Object, name: str) -> None:
    """Reset a member to its old value."""
    if name in old:
        obj[name] = old[name]
    else:
        obj.pop(name, None)


def unchanged(obj: Object, old: Object, name: str, path: str = "") -> Iterator[FieldError]:
    """An error if an immutable member was changed."""
    if obj.get(name) != old.get(name):
        yield field_errors.invalid(path or name, obj.get(name), IMMUTABLE)


def one_of(obj: Mapping[str, Any], name: str, path: str, choices: Sequence[str]) -> Iterator[FieldError]:
    """An error if a member is present and not one of the choices."""
    if name in obj and obj[name] not in choices:
        yield field_errors.not_supported(f"{path}.{name}", obj[name], choices)


def decoded_size(value: Any) -> int:
    """The number of bytes that a base64 string decodes to; 0 for other values."""
    if not isinstance(value, str):
        return 0
    return len(value) // 4 * 3 - value.count("=", -2)
