"""JSON Web Tokens (RFC 7519) in the compact form of signatures (RFC 7515), and keys as JSON Web Keys (RFC 7517).

PyJWT makes and verifies signatures. Which key may have signed with which algorithm is decided here (RFC 8725, section 3.1):
the type of the key, its curve and its own ``alg`` have to fit the algorithm of the token. Which claims a token needs is
the authenticator's to decide. PyJWT is imported at the first use: `load` does so in a thread.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

import orjson

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from jwt.api_jws import PyJWS

MAX_TOKEN: Final = 64 * 1024
"""Bytes of the longest token. The limit on the head of a request is near; a TokenReview has only this one."""
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")
"""The signature algorithms that Kubernetes allows."""
_OF_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_OF_RSA: Final = frozenset(name for name in ALGORITHMS if name[0] != "E")
_SMALLEST_RSA: Final = 2048
_LARGEST_RSA: Final = 8192
_PARTS: Final = 3
_PUBLIC_PARTS: Final = ("kty", "n", "e", "crv", "x", "y")
"""The members of a key that are not its private half."""


class InvalidTokenError(ValueError):
    """A token that is malformed, or whose signature is not valid; the message says why and shows nothing of the token."""


class Verifying(Protocol):
    """A key that verifies signatures, and the algorithms that it is for."""

    @property
    def id(self) -> str:
        """The key's ID."""

    @property
    def algorithms(self) -> Collection[str]:
        """The algorithms of the signatures."""

    @property
    def key(self) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
        """The public key."""


K = TypeVar("K", bound=Verifying)


class PublicKey(NamedTuple):
    """A key of a JSON Web Key Set."""

    id: str
    algorithms: frozenset[str]
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class Token(NamedTuple):
    """A token whose signature has not been verified: nothing in it may be trusted."""

    encoded: bytes
    header: dict[str, Any]
    claims: dict[str, Any]

    @property
    def algorithm(self) -> str:
        """The algorithm that the token names; empty without one."""
        return _text(self.header.get("alg"))

    @property
    def key_id(self) -> str:
        """The ID of the key that the token names; empty without one."""
        return _text(self.header.get("kid"))


def parse(token: bytes) -> Token | None:
    """Decode a token without verifying it. Returns None for a text that is no token in compact form."""
    if len(token) > MAX_TOKEN:
        return None
    parts = token.split(b".")
    if len(parts) != _PARTS:
        return None
    header, claims = _decoded(parts[0]), _decoded(parts[1])
    return None if header is None or claims is None else Token(token, header, claims)


async def load() -> None:
    """Import PyJWT in a thread, unless it is imported: that takes as long as many requests."""
    if not _signatures.cache_info().currsize:
        await asyncio.to_thread(_signatures, ALGORITHMS[0])


def sign(
    claims: Mapping[str, Any], key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *, algorithm: str, key_id: str
) -> str:
    """Return a signed token. ``key`` is one for ``algorithm``, one of `ALGORITHMS`; ``key_id`` is in the header."""
    return _signatures(algorithm).encode(orjson.dumps(claims), key, algorithm=algorithm, headers={"kid": key_id})


def unaccepted_algorithm(token: Token, accepted: Collection[str]) -> InvalidTokenError:
    """Return the error of a token that is signed with none of these algorithms. It names only an algorithm of `ALGORITHMS`."""
    named = token.algorithm if token.algorithm in ALGORITHMS else "another algorithm"
    return InvalidTokenError(f"signed with {named}; accepted are {', '.join(accepted)}")


def verify(token: Token, keys: Sequence[K], algorithms: Collection[str] = ALGORITHMS) -> K:
    """Verify the signature of a token. Returns the one of the keys that has signed it. Raises InvalidTokenError."""
    from jwt.exceptions import PyJWTError

    algorithm = token.algorithm
    if algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise unaccepted_algorithm(token, algorithms)
    if "crit" in token.header or token.header.get("b64", True) is not True:
        raise InvalidTokenError("has a critical header that is not supported")
    signatures = _signatures(algorithm)
    for key in keys:
        if algorithm not in key.algorithms or (token.key_id and key.id != token.key_id):
            continue
        try:
            signatures.decode(token.encoded, key.key, algorithms=[algorithm])
        except (PyJWTError, ValueError, TypeError):  # malformed base64 and numbers are ValueErrors
            continue
        return key
    raise InvalidTokenError("the signature is not valid")


@cache
def _signatures(algorithm: str) -> PyJWS:
    """Return what signs and verifies with one algorithm, which is one of `ALGORITHMS`."""
    from jwt.api_jws import PyJWS

    return PyJWS(algorithms=[algorithm])


def read_key_set(document: Any) -> list[PublicKey]:
    """Read the usable keys of a JSON Web Key Set. Keys of other kinds are left out. Raises ValueError for another document."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("not a JSON Web Key Set")
    return [found for entry in keys if isinstance(entry, dict) and (found := _read_key(entry)) is not None]


def _read_key(entry: dict[str, Any]) -> PublicKey | None:
    from jwt.algorithms import ECAlgorithm, RSAAlgorithm
    from jwt.exceptions import PyJWTError

    kind, use, alg = entry.get("kty"), entry.get("use", "sig"), entry.get("alg")
    usable = _OF_RSA if kind == "RSA" else frozenset(filter(None, [_OF_CURVE.get(_text(entry.get("crv")))]))
    if alg is not None:
        usable &= {_text(alg)}
    if use != "sig" or kind not in ("RSA", "EC") or not usable:
        return None
    public: dict[str, Any] = {name: value for name, value in entry.items() if name in _PUBLIC_PARTS}
    key: Any
    try:
        key = RSAAlgorithm.from_jwk(public) if kind == "RSA" else ECAlgorithm.from_jwk(public)
    except (PyJWTError, ValueError, TypeError, KeyError):
        return None
    if kind == "RSA" and not _SMALLEST_RSA <= key.key_size <= _LARGEST_RSA:
        return None
    return PublicKey(_text(entry.get("kid")), usable, key)


def _decoded(part: bytes) -> dict[str, Any] | None:
    try:
        content = base64.b64decode(part + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)
        found = orjson.loads(content)
    except (binascii.Error, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
