"""Signing and verifying compact JSON Web Signatures (RFC 7515) with PyJWT.

The library is imported when the first token is signed or verified, in a thread: it takes as long as many requests. Claims are
checked by `claims`: the rules are Kubernetes', not those of a library.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from kcp.auth.service_accounts.keys import SigningKey, VerifyingKey

if TYPE_CHECKING:
    from jwt.api_jws import PyJWS

MAX_TOKEN: Final = 16 * 1024
"""Bytes of the longest token. A token is far shorter; the head of a request limits it too, a TokenReview does not."""
_ALGORITHMS: Final = ["RS256", "ES256", "ES384", "ES512"]
_loaded: list[PyJWS] = []


async def load() -> None:
    """Import the library, unless it is. Must be awaited before the other functions are called."""
    if not _loaded:
        library = await asyncio.to_thread(_import)
        if not _loaded:
            _loaded.append(library)


def _import() -> PyJWS:
    from jwt.api_jws import PyJWS

    return PyJWS(algorithms=_ALGORITHMS)


def sign(claims: dict[str, Any], key: SigningKey) -> str:
    """Return a signed token."""
    return _loaded[0].encode(orjson.dumps(claims), key.key, algorithm=key.algorithm, headers={"kid": key.id})


def verify(token: bytes, keys: Callable[[str], Sequence[VerifyingKey]]) -> tuple[dict[str, Any], VerifyingKey] | None:
    """Return the claims of a token and the key that has signed it; None where no key has, or where it is malformed.

    ``keys`` returns the keys that may have signed a token, by the key ID of its header, "" without one.
    """
    from jwt.exceptions import PyJWTError

    header = segment(token, 0)
    if header is None:
        return None
    key_id = header.get("kid", "")
    if type(key_id) is not str:
        return None
    for key in keys(key_id):
        if header.get("alg") != key.algorithm:
            continue
        try:
            content = _loaded[0].decode(token, key.key, algorithms=[key.algorithm])
        except (PyJWTError, ValueError):  # a malformed base64 or UTF-8 text is a ValueError
            continue
        claims = _json_object(content)
        return None if claims is None else (claims, key)
    return None


def segment(token: bytes, number: int) -> dict[str, Any] | None:
    """Return the header (0) or the claims (1) of a token, without verifying anything; None where it is malformed."""
    if len(token) > MAX_TOKEN or token.count(b".") != 2:
        return None
    text = token.split(b".")[number]
    try:
        content = base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    return _json_object(content)


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return found if type(found) is dict else None
