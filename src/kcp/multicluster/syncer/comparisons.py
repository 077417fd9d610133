"""Comparison of objects: digests, and whether a live object has what an apply configuration says. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson


def digest(value: Any) -> str:
    """Return a digest of a JSON value that does not depend on the order of fields. Values nested too deeply have the same one."""
    try:
        data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # more than 254 levels: no server of Kubernetes accepts it
        data = b"nested too deeply"
    return hashlib.blake2b(data, digest_size=15).hexdigest()


def content_digest(live: Mapping[str, Any]) -> str:
    """Return a digest of what an apply configuration can say of an object: all but its status and the server's metadata."""
    meta = live.get("metadata") or {}
    content = {name: value for name, value in live.items() if name not in ("metadata", "status")}
    return digest([content, meta.get("labels"), meta.get("annotations")])


def contains(live: Any, wanted: Any) -> bool:
    """Return whether a live value has all that is wanted. More fields, such as defaults, are no difference.

    Empty values are as good as absent ones, which is how Kubernetes stores them.
    """
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping):
            return False
        return all(contains(live[name], value) if name in live else not value for name, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            return False
        return all(contains(item, value) for item, value in zip(live, wanted, strict=True))
    return bool(live == wanted)
