"""JSON merge patch (RFC 7386)."""

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
        if value is None:
            made.pop(key, None)
        elif type(value) is dict:
            old = made.get(key)
            made[key] = _merged(old if type(old) is dict else {}, value)
        else:
            made[key] = value
    return made
