"""Validation of ``x-kubernetes-list-type``, ``x-kubernetes-list-map-keys`` and ``x-kubernetes-map-type`` in a schema."""

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.schema.error_limits import MAX_ERRORS
from kcp.schema.raw_schemas import Raw, flag, properties, schema, strings, text

_LIST_TYPE = "x-kubernetes-list-type"
_MAP_TYPE = "x-kubernetes-map-type"
_KEYS = "x-kubernetes-list-map-keys"


def list_and_map_type_errors(
    raw: Raw, path: str, *, non_atomic_sets: bool = False, loose_map_keys: bool = False
) -> list[FieldError]:
    """Validate these keywords of one schema node; the flags tolerate violations of the old definition."""
    found = _map_type_errors(raw, path) + _list_type_errors(raw, path, non_atomic_sets=non_atomic_sets)
    if text(raw, _LIST_TYPE) == "map":
        found += _keyed_list_errors(raw, path)
    if not loose_map_keys:
        found += map_key_errors(raw, path)
    return found


def _map_type_errors(raw: Raw, path: str) -> list[FieldError]:
    if raw.get(_MAP_TYPE) is None:
        return []
    found = _wrong_type(raw, path, "object", _MAP_TYPE)
    if raw[_MAP_TYPE] not in ("atomic", "granular"):
        found.append(field_errors.not_supported(f"{path}.{_MAP_TYPE}", raw[_MAP_TYPE], ["atomic", "granular"]))
    return found


def _wrong_type(raw: Raw, path: str, wanted: str, keyword: str) -> list[FieldError]:
    kind = text(raw, "type")
    if kind == wanted:
        return []
    why = f"must be {wanted} if {keyword} is specified"
    return [field_errors.invalid(f"{path}.type", kind, why) if kind else field_errors.required(f"{path}.type", why)]


def _list_type_errors(raw: Raw, path: str, *, non_atomic_sets: bool) -> list[FieldError]:
    found: list[FieldError] = []
    list_type = raw.get(_LIST_TYPE)
    if list_type is not None:
        found += _wrong_type(raw, path, "array", _LIST_TYPE)
        if not found and list_type == "set" and not non_atomic_sets:
            found += set_item_errors(raw, path)
        if list_type not in ("atomic", "set", "map"):
            found.append(field_errors.not_supported(f"{path}.{_LIST_TYPE}", list_type, ["atomic", "set", "map"]))
    if raw.get(_KEYS) and list_type != "map":
        why = f"must be map if {_KEYS} is non-empty"
        below = f"{path}.{_LIST_TYPE}"
        found.append(
            field_errors.required(below, why) if list_type is None else field_errors.invalid(below, list_type, why)
        )
    return found


def set_item_errors(raw: Raw, path: str) -> list[FieldError]:
    """Validate that the items of a set are atomic."""
    items = schema(raw, "items")
    if items is None:
        return []
    why = "must be atomic as item of a list with x-kubernetes-list-type=set"
    kind = text(items, "type")
    if kind == "array" and items.get(_LIST_TYPE) not in (None, "atomic"):
        return [field_errors.invalid(f"{path}.items.{_LIST_TYPE}", items.get(_LIST_TYPE), why)]
    if kind == "object" and items.get(_MAP_TYPE) != "atomic":
        return [field_errors.invalid(f"{path}.items.{_MAP_TYPE}", items.get(_LIST_TYPE), why)]
    return []


def _keyed_list_errors(raw: Raw, path: str) -> list[FieldError]:
    keys = strings(raw, _KEYS)
    items = schema(raw, "items")
    found = []
    if not keys:
        found.append(field_errors.required(f"{path}.{_KEYS}", f"must not be empty if {_LIST_TYPE} is map"))
    if items is None:
        found.append(field_errors.required(f"{path}.items", f"must have a schema if {_LIST_TYPE} is map"))
        return found
    if text(items, "type") != "object":
        why = f"must be object if parent array's {_LIST_TYPE} is map"
        found.append(field_errors.invalid(f"{path}.items.type", text(items, "type"), why))
        return found
    declared = properties(items)
    seen: set[str] = set()
    for key in keys:
        if len(found) > MAX_ERRORS:
            break
        if key not in declared:
            why = "entries must all be names of item properties"
            found.append(field_errors.invalid(f"{path}.{_KEYS}", keys, why))
        elif text(declared[key], "type") in ("array", "object"):
            why = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
            found.append(field_errors.invalid(f"{path}.items.properties[{key}].type", text(items, "type"), why))
        if key in seen:
            found.append(field_errors.invalid(f"{path}.{_KEYS}", keys, "must not contain duplicate entries"))
        seen.add(key)
    return found


def map_key_errors(raw: Raw, path: str) -> list[FieldError]:
    """Validate that items of sets and maps are not nullable, and that the keys of map items are always present."""
    items = schema(raw, "items")
    list_type = raw.get(_LIST_TYPE)
    if items is None or list_type not in ("set", "map"):
        return []
    found = []
    if flag(items, "nullable"):
        why = f"cannot be nullable when {_LIST_TYPE} is {list_type}"
        found.append(field_errors.forbidden(f"{path}.items.nullable", why))
    if list_type != "map":
        return found
    required, declared = frozenset(strings(items, "required")), properties(items)
    for key in strings(raw, _KEYS):
        each = declared.get(key)
        if each is None:
            continue
        below = f"{path}.items.properties[{key}]"
        this = f"this property is in {_KEYS}, so it"
        if key not in required and each.get("default") is None:
            why = f"{this} must have a default or be a required property"
            found.append(field_errors.required(f"{below}.default", why))
        if flag(each, "nullable"):
            found.append(field_errors.forbidden(f"{below}.nullable", f"{this} cannot be nullable"))
    return found
