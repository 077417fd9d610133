"""JSON merge patch (RFC 7386), with two deviations of kube-apiserver's library (evanphx/json-patch).

Nulls in a new value are removed from the maps inside lists too; a list that replaces a map is taken as it is.
"""

from __future__ import annotations

from typing import Any

from kcp.api import errors


def apply(document: dict[str, Any], patch: Any) -> Any:
    """``document`` with the merge patch ``patch``; unchanged parts are shared. Raises StatusError 400."""
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding patch: a merge patch is a JSON object")
    return _merged(document, patch)


def _merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    made = dict(target)
    for key, value in patch.items():
        kind = type(value)
        if value is None:
            made.pop(key, None)
        elif kind is dict:
            old = made.get(key)
            made[key] = _merged(old, value) if type(old) is dict else _without_nulls(value)
        elif kind is list and type(made.get(key)) is not dict:
            made[key] = _without_nulls(value)
        else:
            made[key] = value
    return made


def _without_nulls(value: Any) -> Any:
    """The value without null members of maps. Items of lists stay, even if null."""
    if type(value) is dict:
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    return [_without_nulls(item) for item in value] if type(value) is list else value
