"""Go's zero values in the objects of built-in types.

A built-in type of Kubernetes is a Go struct. What decodes to a field's zero value (null, and empty strings, lists and maps) is
left out when the struct is encoded (``omitempty``), unless the field is a pointer or always shown. The table of protobuf
messages says which (`kcp.api.protobuf.messages`). Null in a list or map is the zero value of its items.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from kcp.api.protobuf.messages import INLINE, Field, message, root

Normalizer = Callable[[Any], None]

_ZEROS: Final[dict[str, Any]] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0, "double": 0}
_METADATA: Final = "meta.ObjectMeta"
"""Checked and written by `kcp.api.metadata`."""


def normalize(obj: dict[str, Any]) -> bool:
    """Write an object as Go encodes it, in place. Members of another JSON type than the field's stay for the schema to report.

    Returns False, and changes nothing, for a kind that has no message.
    """
    name = root(obj.get("apiVersion", ""), obj.get("kind", ""))
    if name is None:
        return False
    _normalizer(name)(obj)
    return True


@cache
def _normalizer(name: str) -> Normalizer:
    fields = _fields(name)
    members: dict[str, Callable[[dict[str, Any], str, Any], None]] = {}

    def run(value: Any) -> None:
        if type(value) is not dict:
            return
        for key, member in [*value.items()]:
            change = members.get(key)
            if change is None:
                field = fields.get(key)
                if field is None:
                    continue
                change = members[key] = _member(field)
            change(value, key, member)

    return run


def _fields(name: str) -> dict[str, Field]:
    """The fields of a message by name, with those of the structs that Go embeds."""
    found: dict[str, Field] = {}
    for field in message(name).by_name.values():
        if field.type == _METADATA:
            continue
        found.update(_fields(field.type) if field.name == INLINE else {field.name: field})
    return found


def _member(field: Field) -> Callable[[dict[str, Any], str, Any], None]:
    if field.mapped:
        return _map_member(field)
    if field.repeated:
        return _list_member(field)
    zero = _ZEROS.get(field.type)
    inner = _inner(field.type)

    def change(owner: dict[str, Any], key: str, value: Any) -> None:
        if value is None:
            if field.always and zero is not None:
                owner[key] = zero
            else:
                del owner[key]
        elif inner is not None:
            inner(value)
        elif not (field.optional or field.always) and zero is not None and type(value) is type(zero) and value == zero:
            del owner[key]

    return change


def _map_member(field: Field) -> Callable[[dict[str, Any], str, Any], None]:
    inner = _inner(field.type)

    def change(owner: dict[str, Any], key: str, value: Any) -> None:
        if value is None or value == {}:
            del owner[key]
        elif type(value) is dict:
            if None in value.values():
                for name in [name for name, item in value.items() if item is None]:
                    value[name] = _zero_item(field.type)
            if inner is not None:
                for item in value.values():
                    inner(item)

    return change


def _list_member(field: Field) -> Callable[[dict[str, Any], str, Any], None]:
    inner = _inner(field.type)

    def change(owner: dict[str, Any], key: str, value: Any) -> None:
        if value is None or (value == [] and not field.always):
            del owner[key]
        elif type(value) is list:
            for index, item in enumerate(value):
                if item is None and field.type != "json":
                    item = value[index] = _zero_item(field.type)
                if inner is not None:
                    inner(item)

    return change


def _zero_item(type_: str) -> Any:
    """The zero value of an item of a list or map: that of a scalar, or a struct with the fields that are always shown."""
    if type_ in _ZEROS:
        return _ZEROS[type_]
    if "." not in type_:
        return {"quantity": "0", "strings": []}.get(type_)
    described = message(type_)
    return {field.name: _ZEROS[field.type] for field in described.always}


def _inner(type_: str) -> Normalizer | None:
    """The normalizer of a field's own members; None for a scalar."""
    if type_ == "strings":
        return _strings
    if "." not in type_:
        return None
    return _normalizer(type_)


def _strings(value: Any) -> None:
    """Normalize a list of strings that is the value of a map."""
    if type(value) is list and None in value:
        value[:] = ["" if item is None else item for item in value]
