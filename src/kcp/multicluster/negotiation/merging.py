"""How the objects of two schemas merge: what apply and strategic merge patches do with lists and maps.

Objects merge on the server that has the negotiated API, and whole objects are given to clusters. So a cluster that merges
otherwise can run them, as long as they are valid there. Maps of either type have the same values; lists of maps and sets
have fewer than atomic lists, as keys are unique in them. Older releases of Kubernetes publish fewer of these types.
"""

from __future__ import annotations

from typing import Final

from kcp.schema.raw_schemas import Raw, flag, schema, strings, text

_MAP_TYPE: Final = "x-kubernetes-map-type"
_LIST_TYPE: Final = "x-kubernetes-list-type"
_KEYS: Final = "x-kubernetes-list-map-keys"
_UNKNOWN_FIELDS: Final = "x-kubernetes-preserve-unknown-fields"
_OF_ANYTHING: Final = frozenset({_UNKNOWN_FIELDS, "description", "nullable"})
"""The keywords of a schema of any value: what it has in common with another schema is that schema."""
_ABSENT_OF_ANYTHING: Final = frozenset({"nullable", "default"})


def merging_as(raw: Raw, model: Raw) -> Raw:
    """Return a schema with the map types of another one, and with its list types where the schema's own lists are atomic."""
    merged = {keyword: value for keyword, value in raw.items() if keyword != _MAP_TYPE}
    if _MAP_TYPE in model and text(raw, "type") == "object":
        merged[_MAP_TYPE] = model[_MAP_TYPE]
    for keyword in ("items", "additionalProperties"):
        one, other = schema(raw, keyword), schema(model, keyword)
        if one is not None and other is not None:
            merged[keyword] = merging_as(one, other)
    if own := schema(raw, "properties"):
        known = schema(model, "properties") or {}
        merged["properties"] = {name: _property(own, known, name) for name in own}
    return _list_as(merged, model)


def _property(own: Raw, known: Raw, name: str) -> object:
    one, other = schema(own, name), schema(known, name)
    return own[name] if one is None or other is None else merging_as(one, other)


def with_unique_keys(raw: Raw, model: Raw) -> Raw:
    """Return a schema with the list types of another one where its own lists are atomic. Its maps merge as before."""
    return merging_as(raw, merging_as(model, raw))


def _list_as(raw: Raw, model: Raw) -> Raw:
    """Give an atomic list the type of the model's list, if it may have that.

    The items of sets and lists of maps are never null; the keys of a list of maps are required, or have defaults.
    """
    list_type = text(model, _LIST_TYPE)
    if text(raw, _LIST_TYPE) not in ("", "atomic") or list_type not in ("set", "map"):
        return raw
    if raw.keys() <= _OF_ANYTHING and flag(raw, _UNKNOWN_FIELDS):
        nullable = {"nullable": True} if flag(raw, "nullable") else {}
        return {keyword: value for keyword, value in model.items() if keyword not in _ABSENT_OF_ANYTHING} | nullable
    items, others = schema(raw, "items") or {}, schema(model, "items") or {}
    if text(raw, "type") != "array" or text(items, "type") != text(others, "type"):
        return raw
    items = {keyword: value for keyword, value in items.items() if keyword != "nullable"}
    if list_type == "set":
        return {**raw, _LIST_TYPE: list_type, "items": items}
    keys, properties = strings(model, _KEYS), schema(items, "properties") or {}
    missing = [
        key
        for key in keys
        if key not in strings(items, "required") and "default" not in (schema(properties, key) or {})
    ]
    if missing:
        items = {**items, "required": [*strings(items, "required"), *missing]}
    return {**raw, _LIST_TYPE: list_type, _KEYS: keys, "items": items}
