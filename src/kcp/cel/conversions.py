"""Conversion of JSON data to CEL values by schema, and equality and concatenation by schema.

No conversion takes place where the data is already the value: see `SchemaType.plain`.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Any, Final

from kcp.cel.errors import EvaluationError
from kcp.cel.limits import LONG, Visits, count_comparison, count_visits, visits
from kcp.cel.operators import equals
from kcp.cel.times import date, schema_duration, timestamp
from kcp.cel.types import SchemaType

_TIME: Final = 16
"""Visits for the conversion of a time or duration, which takes as long as that many visits."""
_KEY: Final = 4
"""Visits for an item whose key is looked up."""


def _timed(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def conversion(text: str) -> Any:
        count_visits(_TIME)
        return convert(text)

    return conversion


def _bytes(text: str) -> bytes:
    count_visits(len(text) // LONG)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvaluationError(f"Invalid byte formatted string {text}: {error}") from None


SCALARS: Final[dict[str, Callable[[Any], Any]]] = {
    "date-time": _timed(timestamp),
    "date": _timed(date),
    "duration": _timed(schema_duration),
    "byte": _bytes,
    "double": float,
}


def converter(schema: SchemaType, *, objects: bool = False) -> Callable[[Any], Any] | None:
    """Make the function that converts JSON data of this schema to a CEL value; None if no conversion is needed.

    Objects are not converted, since expressions access their fields by schema; with `objects` they become maps of values
    (for ``dyn()``, which loses the schema).
    """
    if schema.conversion:
        scalar = SCALARS[schema.conversion]
        return lambda data: None if data is None else scalar(data)
    if schema.type.kind == "object":
        return _object_converter(schema) if objects and not schema.plain else None
    if schema.element is None:
        return None
    inner = converter(schema.element, objects=objects)
    if inner is None:
        return None
    return _list_converter(inner) if schema.type.kind == "list" else _map_converter(inner)


def _list_converter(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def convert(data: Any) -> Any:
        if data is None:
            return None
        visits().count_container(data)
        return [inner(item) for item in data]

    return convert


def _map_converter(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def convert(data: Any) -> Any:
        if data is None:
            return None
        visits().count_container(data)
        return {key: inner(item) for key, item in data.items()}

    return convert


def _object_converter(schema: SchemaType) -> Callable[[Any], Any]:
    fields = [(raw, escaped, converter(child, objects=True)) for escaped, (raw, child) in schema.fields.items()]

    def convert(data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        count_visits(1 + len(fields))
        return {
            escaped: data[raw] if inner is None else inner(data[raw])
            for raw, escaped, inner in fields
            if data.get(raw) is not None  # a null field counts as absent
        }

    return convert


def equality(schema: SchemaType) -> Callable[[Any, Any], bool]:
    """Make the equality of JSON data of this schema; lists of type set and map are equal in any order."""
    if schema.plain_equality:
        return _plain_equality(schema.type.kind)
    if schema.conversion:
        scalar = SCALARS[schema.conversion]
        return lambda left, right: left == right or (None not in (left, right) and scalar(left) == scalar(right))
    if schema.element is not None:
        inner = equality(schema.element)
        if schema.type.kind == "map":
            return lambda left, right: _equal_maps(left, right, lambda _: inner)
        if schema.list_type == "set":
            return lambda left, right: _equal_sets(left, right, inner)
        if schema.list_type == "map":
            keys = schema.list_keys
            return lambda left, right: _equal_map_lists(left, right, keys, inner)
        return lambda left, right: _equal_lists(left, right, inner)
    by_name = {raw: _field_equality(child) for raw, child in schema.fields.values()}
    return lambda left, right: _equal_maps(left, right, lambda key: by_name.get(key, equals))


def _plain_equality(kind: str) -> Callable[[Any, Any], bool]:
    if kind in {"list", "map", "object"}:
        return _equal_content
    return _equal_texts if kind == "string" else lambda left, right: bool(left == right)


def _equal_content(left: Any, right: Any) -> bool:
    count_comparison(left, right)
    return bool(left == right)


def _equal_texts(left: Any, right: Any) -> bool:
    if type(left) is str and len(left) >= LONG:
        count_visits(len(left) // LONG)
    return bool(left == right)


def _field_equality(schema: SchemaType) -> Callable[[Any, Any], bool]:
    inner = equality(schema)
    # As in Kubernetes, where a null field counts as absent, objects with a null field are not even equal to themselves.
    return (lambda left, right: None not in (left, right) and inner(left, right)) if schema.nullable else inner


def value_equality(schema: SchemaType) -> Callable[[Any, Any], bool]:
    """Make the equality of a list of type set or map and a list without a schema; both are CEL values."""
    if schema.list_type == "set":
        return lambda left, right: _equal_sets(left, right, equals)
    keys = schema.list_keys
    return lambda left, right: _equal_map_lists(left, right, keys, equals)


Equal = Callable[[Any, Any], bool]


def _equal_lists(left: Any, right: Any, inner: Equal) -> bool:
    if left is None or right is None:
        return left is right
    visits().count_container(left)
    return len(left) == len(right) and all(inner(one, two) for one, two in zip(left, right, strict=True))


def _equal_maps(left: Any, right: Any, inner: Callable[[str], Equal]) -> bool:
    if left is None or right is None:
        return left is right
    visits().count_container(left)
    return left.keys() == right.keys() and all(inner(key)(value, right[key]) for key, value in left.items())


def _equal_sets(left: Any, right: Any, inner: Equal) -> bool:
    if left is None or right is None:
        return left is right
    if len(left) != len(right):
        return False
    counted = visits()
    counted.count_container(left)
    try:
        return set(left) == set(right)
    except TypeError:
        return all(any(_counted(inner, one, two, counted) for two in right) for one in left)


def _counted(inner: Equal, one: Any, two: Any, counted: Visits) -> bool:
    counted.count(1)
    return inner(one, two)


def _equal_map_lists(left: Any, right: Any, keys: tuple[str, ...], inner: Equal) -> bool:
    if left is None or right is None:
        return left is right
    if len(left) != len(right):
        return False
    count_visits(2 * _KEY * len(left))
    by_key = {_key(item, keys): item for item in right}
    return all((key := _key(item, keys)) in by_key and inner(item, by_key[key]) for item in left)


def _key(item: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple((type(item.get(key)), item.get(key)) for key in keys)


def addition(schema: SchemaType) -> Callable[[list[Any], list[Any]], list[Any]] | None:
    """Make the ``+`` of lists of type set or map; None for an atomic list."""
    if schema.list_type == "set":
        return _union
    if schema.list_type == "map":
        keys = schema.list_keys
        return lambda left, right: _merge(left, right, keys)
    return None


def _union(left: list[Any], right: list[Any]) -> list[Any]:
    """Append the elements of the right list that the left list does not contain."""
    result = list(left)
    count_visits(_KEY * (len(left) + len(right)))
    try:
        seen = {(type(item), item) for item in left}
        for item in right:
            if (type(item), item) not in seen:
                seen.add((type(item), item))
                result.append(item)
    except TypeError:
        for item in right:
            count_visits(len(result))
            if not any(equals(item, other) for other in result):
                result.append(item)
    return result


def _merge(left: list[Any], right: list[Any], keys: tuple[str, ...]) -> list[Any]:
    """Replace the elements of the left list by those of the right list with the same key; append the others."""
    result = list(left)
    count_visits(_KEY * (len(left) + len(right)))
    indexes = {_key(item, keys): index for index, item in enumerate(left)}
    for item in right:
        index = indexes.setdefault(_key(item, keys), len(result))
        if index < len(result):
            result[index] = item
        else:
            result.append(item)
    return result
