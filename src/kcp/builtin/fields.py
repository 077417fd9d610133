"""Reading and checking the members of an object whose shape may still be wrong.

Strategies run beside the schema's validation, so that a client learns all errors at once. A member of the wrong type therefore
counts as absent here: the schema reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.api.times import parse_time
from kcp.registry.types.strategies import Object

IMMUTABLE: Final = "field is immutable"
NOT_NEGATIVE: Final = "must be greater than or equal to 0"


def drop_nulls(node: Any) -> None:
    """Take members that are null out of all maps below, in place."""
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


def canonical_times(obj: dict[str, Any], members: Iterable[str], written: Callable[[datetime], str]) -> None:
    """Write each time among these members in its one form, in place; what is no time stays for the schema's errors.

    Kubernetes' clients in Go read a MicroTime only when it has six decimals.
    """
    for name in members:
        value = obj.get(name)
        if isinstance(value, str):
            with suppress(ValueError, OverflowError):
                obj[name] = written(parse_time(value))


def canonical_bytes(obj: dict[str, Any], members: Iterable[str] | None = None) -> None:
    """Take line ends out of the base64 texts among these members, or all, in place, as decoders in Go pass over them.

    Of named members, fields of a struct, those without a byte go; keys of a map stay.
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
    """A text member; empty where it is absent, or of another type (which the schema's errors say)."""
    value = obj.get(name) if isinstance(obj, Mapping) else None
    return value if isinstance(value, str) else ""


def mapping(obj: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """A map member; empty where it is absent or of another type."""
    value = obj.get(name) if isinstance(obj, Mapping) else None
    return value if isinstance(value, dict) else {}


def sequence(obj: Mapping[str, Any] | None, name: str) -> list[Any]:
    """A list member; empty where it is absent or of another type."""
    value = obj.get(name) if isinstance(obj, Mapping) else None
    return value if isinstance(value, list) else []


def maps(obj: Mapping[str, Any] | None, name: str) -> list[dict[str, Any]]:
    """A list member whose items are maps; others count as empty ones, so that indexes stay right."""
    return [item if isinstance(item, dict) else {} for item in sequence(obj, name)]


def texts(obj: Mapping[str, Any] | None, name: str) -> list[str]:
    """A list member whose items are texts; others count as empty ones."""
    return [item if isinstance(item, str) else "" for item in sequence(obj, name)]


def integer(obj: Mapping[str, Any] | None, name: str) -> int | None:
    """An integer member; None where it is absent or of another type."""
    value = obj.get(name) if isinstance(obj, Mapping) else None
    return value if type(value) is int else None


def keep(obj: Object, old: Object, name: str) -> None:
    """Put a member back as it was."""
    if name in old:
        obj[name] = old[name]
    else:
        obj.pop(name, None)


def unchanged(obj: Object, old: Object, name: str, path: str = "") -> Iterator[FieldError]:
    """An error where a member that must stay was changed."""
    if obj.get(name) != old.get(name):
        yield field_errors.invalid(path or name, obj.get(name), IMMUTABLE)


def one_of(obj: Mapping[str, Any], name: str, path: str, choices: Sequence[str]) -> Iterator[FieldError]:
    """An error where a member is given and is none of a closed set."""
    if name in obj and obj[name] not in choices:
        yield field_errors.not_supported(f"{path}.{name}", obj[name], choices)


def decoded_size(value: Any) -> int:
    """How many bytes a base64 text stands for."""
    if not isinstance(value, str):
        return 0
    return len(value) // 4 * 3 - value.count("=", -2)
