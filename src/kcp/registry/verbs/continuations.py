"""Continue tokens: the position and the revision at which a paged list continues.

Follows the API concepts page, "Retrieving large results sets in chunks". A token is opaque to clients: base64 of a small JSON
document. ``revision`` -1 continues in the newest state: the token in a 410 response has it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, NamedTuple

import orjson

from kcp.api import errors
from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Key

INCONSISTENT: Final = -1
_VERSION: Final = "kcp.io/v1"
_FOREIGN: Final = "invalid continue token: continue key is not valid: it is no position that this server encoded"


class Continuation(NamedTuple):
    """The position after the key ``after``, at ``revision``."""

    revision: int
    after: Key


def encode(continuation: Continuation) -> str:
    """The token of a position."""
    after = continuation.after
    content = {"v": _VERSION, "rv": continuation.revision, "start": [after.cluster, after.namespace, after.name]}
    return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")


def decode(token: str, resource: str) -> Continuation:
    """The position of a token. Raises StatusError 400 for anything but a token of this server."""
    try:
        content: Any = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, revision, start = content["v"], content["rv"], content["start"]
        if (
            version != _VERSION
            or not isinstance(revision, int)
            or isinstance(revision, bool)
            or revision < INCONSISTENT
        ):
            raise ValueError("unknown form")
        cluster, namespace, name = (str(part) for part in start)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise errors.bad_request(_FOREIGN) from error
    return Continuation(revision, Key(resource, LogicalClusterName(cluster), namespace, name))
