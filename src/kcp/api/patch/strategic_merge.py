"""Strategic merge patch: a merge patch that merges lists by key, with directives.

Follows Kubernetes' "Update API objects in place using kubectl patch", the design "preserve order in strategic merge patch", and
the observable behaviour of k8s.io/apimachinery's strategicpatch package. The patch strategy of a field decides how it merges,
else its list type (a list of type map merges by its first key field, a set as scalars). Without a schema, maps merge and lists
are replaced.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api import errors
from kcp.api.patch import strategic_merge_lists
from kcp.api.patch.go_format import go_text, go_type
from kcp.api.patch.merge_types import UNTYPED, MergeType
from kcp.api.patch.strategic_merge_lists import DIRECTIVE, PatchFormatError

RETAIN_KEYS: Final = "$retainKeys"
DELETE_FROM_PRIMITIVE_LIST: Final = "$deleteFromPrimitiveList"
SET_ELEMENT_ORDER: Final = "$setElementOrder"

_BAD_PRIMITIVE_LIST: Final = "invalid patch format of primitive list"
_BAD_RETAIN_KEYS: Final = "invalid patch format of retainKeys"
_BAD_ELEMENT_ORDER: Final = "invalid patch format of setElementOrder list"

Map = dict[str, Any]


def apply(document: Map, patch: Any, merge_type: MergeType) -> Map:
    """``document`` with the strategic merge patch ``patch``; unchanged parts are shared.

    Raises StatusError 400 when the patch is malformed (an unknown directive, a list item without its merge key, items in another
    order than ``$setElementOrder``); 422 when it merges lists of lists.
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
        return _apply_map_directive(patch)
    made = _apply_retain_keys(original, patch) if RETAIN_KEYS in patch else dict(original)
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


def _apply_map_directive(patch: Map) -> Map:
    directive = patch[DIRECTIVE]
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != DIRECTIVE}
    if directive == "delete":
        return {}
    raise PatchFormatError(f"unknown patch type: {go_text(directive)} in map: {go_text(patch)}")


def _merge_field(made: Map, key: str, value: Any, type_: MergeType) -> None:
    old = made.get(key)
    field = type_.field(key)
    kind = type(value)
    if kind is dict and type(old) is dict:
        made[key] = value if field.strategy == "replace" else merge_map(old, value, field)
    elif kind is list and type(old) is list:
        if field.strategy == "merge":
            made[key] = strategic_merge_lists.merge(old, value, field, merge_map, without_directives)
        else:
            made[key] = value
    elif kind is dict or kind is list:
        new = without_directives(value)
        if new is None:
            made.pop(key, None)
        else:
            made[key] = new
    else:
        made[key] = value


def without_directives(value: Any) -> Any:
    """A new value without the directives and nulls in its maps; None when a directive deletes it."""
    if type(value) is dict:
        if DIRECTIVE in value:
            return _apply_map_directive(value) if value[DIRECTIVE] == "replace" else None
        made = {}
        for key, child in value.items():
            if key == RETAIN_KEYS or key.startswith((DELETE_FROM_PRIMITIVE_LIST, SET_ELEMENT_ORDER)):
                continue
            new = without_directives(child)
            if new is not None:
                made[key] = new
        return made
    if type(value) is list:
        return [without_directives(item) for item in value if not (type(item) is dict and DIRECTIVE in item)]
    return value


def _apply_retain_keys(original: Map, patch: Map) -> Map:
    """The members of ``original`` that ``$retainKeys`` lists."""
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
    """The name of the list in a directive such as ``$setElementOrder/containers``."""
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
        strategic_merge_lists.check_kinds(old, value)
        made[target] = strategic_merge_lists.without_values(old, value)


def _merge_ordered_lists(made: Map, patch: Map, type_: MergeType) -> set[str]:
    """Merge the lists that have a ``$setElementOrder``; returns the keys of the patch that are done."""
    done: set[str] = set()
    for key, order in patch.items():
        if not key.startswith(SET_ELEMENT_ORDER):
            continue
        target = _target_of(key, SET_ELEMENT_ORDER, _BAD_ELEMENT_ORDER)
        done.add(key)
        if not isinstance(order, list):
            raise PatchFormatError(_BAD_ELEMENT_ORDER)
        if target in patch and patch[target] is None:
            continue  # the patch deletes the list
        old, new = made.get(target), patch.get(target)
        for part in (old, new):
            if part is not None and not isinstance(part, list):
                raise PatchFormatError(f"expected a []interface {{}}, but received a {go_type(part)}")
        if old is None and new is None:
            continue
        field = type_.field(target)
        if field is UNTYPED:
            continue
        strategic_merge_lists.check_order(new or [], order, field.merge_key)
        made[target] = strategic_merge_lists.merge_in_order(old, new, order, field, merge_map, without_directives)
        done.add(target)
    return done
