"""Strategic merge patch: a merge patch that merges lists by key, with directives.

Follows Kubernetes' "Update API objects in place using kubectl patch", the design "preserve order in strategic merge patch", and
what k8s.io/apimachinery's strategicpatch package lets clients observe. Where the merge comes from: the patch strategy of a
field, else its list type (a map merges by its first key field, a set as scalars); fields without a schema merge as maps and
replace as lists.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import errors
from kcp.api.patch import strategic_lists
from kcp.api.patch.merge_types import UNTYPED, MergeType
from kcp.api.patch.printing import go_type, plain
from kcp.api.patch.strategic_lists import DIRECTIVE, PatchFormatError

RETAIN_KEYS: Final = "$retainKeys"
DELETE_FROM_PRIMITIVE_LIST: Final = "$deleteFromPrimitiveList"
SET_ELEMENT_ORDER: Final = "$setElementOrder"

_BAD_PRIMITIVE_LIST: Final = "invalid patch format of primitive list"
_BAD_RETAIN_KEYS: Final = "invalid patch format of retainKeys"
_BAD_ELEMENT_ORDER: Final = "invalid patch format of setElementOrder list"

Map = dict[str, Any]


def apply(document: Map, patch: Any, merge_type: MergeType) -> Map:
    """``document`` with the strategic merge patch ``patch``; parts that do not change are shared.

    Raises StatusError 400 when the patch is malformed: an unknown directive, a list item without its merge key, an order list
    that the patch contradicts; 422 where it would merge lists of lists.
    """
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding patch: a strategic merge patch is a JSON object")
    try:
        return merge_map(document, patch, merge_type)
    except PatchFormatError as problem:
        if problem.unprocessable:
            message = f"the server rejected our request due to an error in our request: {problem}"
            raise errors.StatusError(422, "Invalid", message, details={}) from None
        raise errors.bad_request(str(problem)) from None


def merge_map(original: Map, patch: Map, type_: MergeType) -> Map:
    """Merge one map. Raises PatchFormatError."""
    if DIRECTIVE in patch:
        return _directed(patch)
    made = _retained(original, patch) if RETAIN_KEYS in patch else dict(original)
    done = _merge_ordered_lists(made, patch, type_)
    for key, value in patch.items():
        if key in done or key == RETAIN_KEYS:
            continue
        if key.startswith(DELETE_FROM_PRIMITIVE_LIST):
            _delete_from_list(made, key, value)
        elif value is None:
            made.pop(key, None)
        else:
            _merge_field(made, key, value, type_)
    return made


def _directed(patch: Map) -> Map:
    directive = patch[DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == "delete":
        return {}
    raise PatchFormatError(f"unknown patch type: {plain(directive)} in map: {plain(patch)}")


def _merge_field(made: Map, key: str, value: Any, type_: MergeType) -> None:
    old = made.get(key)
    field = type_.field(key)
    kind = type(value)
    if kind is dict and type(old) is dict:
        made[key] = value if field.strategy == "replace" else merge_map(old, value, field)
    elif kind is list and type(old) is list:
        if field.strategy == "merge":
            made[key] = strategic_lists.merge(old, value, field, merge_map, cleaned)
        else:
            made[key] = value
    elif kind is dict or kind is list:
        new = cleaned(value)
        if new is None:
            made.pop(key, None)
        else:
            made[key] = new
    else:
        made[key] = value


def cleaned(value: Any) -> Any:
    """A new value without directives and nulls in its maps; None when a directive says that it should not be there at all."""
    if type(value) is dict:
        if DIRECTIVE in value:
            return _directed(value) if value[DIRECTIVE] == "replace" else None
        made = {}
        for key, child in value.items():
            if key == RETAIN_KEYS or key.startswith((DELETE_FROM_PRIMITIVE_LIST, SET_ELEMENT_ORDER)):
                continue
            new = cleaned(child)
            if new is not None:
                made[key] = new
        return made
    if type(value) is list:
        return [cleaned(item) for item in value if not (type(item) is dict and DIRECTIVE in item)]
    return value


def _retained(original: Map, patch: Map) -> Map:
    """What ``$retainKeys`` leaves of the map that is patched."""
    listed = patch[RETAIN_KEYS]
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise PatchFormatError(_BAD_RETAIN_KEYS)
    keys = set(listed)
    for key, value in patch.items():
        if value is None or key == RETAIN_KEYS or key.startswith((DELETE_FROM_PRIMITIVE_LIST, SET_ELEMENT_ORDER)):
            continue
        if key not in keys:
            raise PatchFormatError(_BAD_RETAIN_KEYS)
    return {key: value for key, value in original.items() if key in keys}


def _target_of(key: str, prefix: str, message: str) -> str:
    """The list that a directive like ``$setElementOrder/containers`` is about."""
    name, slash, target = key.partition("/")
    if not slash or name != prefix:
        raise PatchFormatError(message)
    return target


def _delete_from_list(made: Map, key: str, value: Any) -> None:
    target = _target_of(key, DELETE_FROM_PRIMITIVE_LIST, _BAD_PRIMITIVE_LIST)
    if value is None:
        made.pop(target, None)
        return
    if not isinstance(value, list):
        raise PatchFormatError(_BAD_PRIMITIVE_LIST)
    old = made.get(target)
    if isinstance(old, list):
        strategic_lists.check_kinds(old, value)
        made[target] = [item for item in old if not strategic_lists.among(item, value)]


def _merge_ordered_lists(made: Map, patch: Map, type_: MergeType) -> set[str]:
    """Merge the lists that ``$setElementOrder`` is about; returns the keys of the patch that are dealt with."""
    done: set[str] = set()
    for key, order in patch.items():
        if not key.startswith(SET_ELEMENT_ORDER):
            continue
        target = _target_of(key, SET_ELEMENT_ORDER, _BAD_ELEMENT_ORDER)
        done.add(key)
        if not isinstance(order, list):
            raise PatchFormatError(_BAD_ELEMENT_ORDER)
        if target in patch and patch[target] is None:
            continue  # the list goes, so there is nothing to arrange
        old, new = made.get(target), patch.get(target)
        for part in (old, new):
            if part is not None and not isinstance(part, list):
                raise PatchFormatError(f"expected a []interface {{}}, but received a {go_type(part)}")
        if old is None and new is None:
            continue
        field = type_.field(target)
        if field is UNTYPED:
            continue
        strategic_lists.check_order(new or [], order, field.merge_key)
        made[target] = strategic_lists.merge_in_order(old, new, order, field, merge_map, cleaned)
        done.add(target)
    return done
