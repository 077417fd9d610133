"""The canonical form of objects of Kubernetes' own kinds: what Go makes of them.

A kind of Kubernetes is a Go struct. What decodes to a field's zero value (null, and empty strings, lists and maps) is left out
when the struct is encoded (``omitempty``), unless the field is a pointer or always shown. Null in a list or map is the zero value
of its items. Quantities and times have one text for each value. The table of protobuf messages says what a field is
(`kcp.api.protobuf.messages`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from kcp.api.protobuf.messages import Field, json_fields, message, root
from kcp.api.quantity import canonical, parse_quantity
from kcp.api.times import canonical_micro_time, parse_time, whole_time

Normalizer = Callable[[Any], None]

_ZEROS: Final[dict[str, Any]] = {"string": "", "bytes": "", "bool": False, "int32": 0, "int64": 0, "double": 0}
_METADATA: Final = "meta.ObjectMeta"
"""That of the object itself is checked and written by `kcp.api.metadata`; others are in templates."""


def _quantity(value: Any) -> Any:
    return canonical(parse_quantity(str(value))) if type(value) in _NUMBERS else value


def _time(value: Any) -> Any:
    return whole_time(parse_time(value)) if type(value) is str else value


def _micro_time(value: Any) -> Any:
    return canonical_micro_time(value) if type(value) is str else value


_NUMBERS: Final = (str, int, float)
_CANONICAL: Final[dict[str, Callable[[Any], Any]]] = {"quantity": _quantity, "time": _time, "micro-time": _micro_time}
"""The canonical form of a value of these types. They raise ValueError or OverflowError for a malformed one."""


def normalize(obj: dict[str, Any]) -> bool:
    """Write an object as Go encodes it, in place. Malformed values and those of another JSON type stay for the schema to report.

    Returns False, and changes nothing, for a kind that has no message.
    """
    name = root(obj.get("apiVersion", ""), obj.get("kind", ""))
    if name is None:
        return False
    _normalizer(name, is_root=True)(obj)
    return True


@cache
def _normalizer(name: str, *, is_root: bool = False) -> Normalizer:
    fields = {label: field for label, field in json_fields(name).items() if not (is_root and field.type == _METADATA)}
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


def _member(field: Field) -> Callable[[dict[str, Any], str, Any], None]:
    if field.mapped:
        return _map_member(field)
    if field.repeated:
        return _list_member(field)
    scalar = _scalar(field.type)
    if scalar is not None:
        return _canonical_member(scalar)
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


def _canonical_member(canonical_form: Callable[[Any], Any]) -> Callable[[dict[str, Any], str, Any], None]:
    def change(owner: dict[str, Any], key: str, value: Any) -> None:
        if value is None:
            del owner[key]
        else:
            owner[key] = canonical_form(value)

    return change


def _map_member(field: Field) -> Callable[[dict[str, Any], str, Any], None]:
    inner = _inner(field.type)
    scalar = _scalar(field.type)

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
            elif scalar is not None:
                owner[key] = {name: scalar(item) for name, item in value.items()}

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


def _scalar(type_: str) -> Callable[[Any], Any] | None:
    """The canonical form of the values of a type that has one; a malformed value stays as it is."""
    convert = _CANONICAL.get(type_)
    if convert is None:
        return None

    def canonical_or_same(value: Any) -> Any:
        try:
            return convert(value)
        except (ValueError, OverflowError):
            return value

    return canonical_or_same


def _strings(value: Any) -> None:
    """Normalize a list of strings that is the value of a map."""
    if type(value) is list and None in value:
        value[:] = ["" if item is None else item for item in value]
