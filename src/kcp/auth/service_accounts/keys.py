"""Keys of service account tokens: generating, reading PEM, key IDs, and JSON Web Key Sets (RFC 7517).

Follows Kubernetes: RSA keys sign with RS256, elliptic curve keys with the algorithm of their curve; the ID of a key is the
SHA-256 of its public half in DER form. A key has one algorithm, whatever the header of a token says (RFC 8725, section 3.1).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    Public = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_ALGORITHM_OF_CURVE: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_CURVE_NAMES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_SMALLEST_RSA: Final = 2048
_END: Final = b"-----END "
_BEGIN: Final = b"-----BEGIN "


class KeyFormatError(ValueError):
    """A PEM text has no usable key; the message says why, and shows nothing of the text."""


class VerifyingKey(NamedTuple):
    """The public half of a key. ``until`` is the Unix time at which tokens that it signed end; None is never."""

    id: str
    algorithm: str
    key: Public
    until: float | None = None

    @property
    def algorithms(self) -> tuple[str]:
        """The one algorithm that the key is for."""
        return (self.algorithm,)


class SigningKey(NamedTuple):
    """A key pair that signs tokens."""

    id: str
    algorithm: str
    key: Private


def generate() -> bytes:
    """Generate a private key for ES256, in PEM form."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_signing_key(pem: bytes) -> SigningKey:
    """Read an unencrypted private key. Raises KeyFormatError."""
    from cryptography.hazmat.primitives import serialization

    try:
        key: Any = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError) as error:  # TypeError: the key is encrypted
        raise KeyFormatError("no unencrypted private key in PEM form") from error
    public = key.public_key()
    return SigningKey(_id_of(public), _algorithm_of(public), key)


def read_verifying_keys(pem: bytes) -> list[VerifyingKey]:
    """Read all keys of a PEM text, of which private ones give their public halves. Raises KeyFormatError."""
    found = [verifying_key(block) for block in _blocks(pem)]
    if not found:
        raise KeyFormatError("no key in PEM form")
    return found


def verifying_key(pem: bytes, until: float | None = None) -> VerifyingKey:
    """Read one public key, or the public half of one private key. Raises KeyFormatError."""
    from cryptography.hazmat.primitives import serialization

    public: Any
    if b" PRIVATE KEY-----" in pem:
        public = read_signing_key(pem).key.public_key()
    else:
        try:
            public = serialization.load_pem_public_key(pem)
        except ValueError as error:
            raise KeyFormatError("no public key in PEM form") from error
    return VerifyingKey(_id_of(public), _algorithm_of(public), public, until)


def public_pem(key: SigningKey) -> bytes:
    """Return the public half in PEM form."""
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.key.public_key().public_bytes(encoding, form)


def key_set(keys: Iterable[VerifyingKey]) -> dict[str, Any]:
    """Return keys as a JSON Web Key Set."""
    return {"keys": [_web_key(key) for key in keys]}


def _web_key(key: VerifyingKey) -> dict[str, str]:
    from cryptography.hazmat.primitives.asymmetric import rsa

    common = {"use": "sig", "kid": key.id, "alg": key.algorithm}
    public = key.key
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", **common, "n": _number(numbers.n), "e": _number(numbers.e)}
    point = public.public_numbers()
    size = (public.curve.key_size + 7) // 8
    curve = _CURVE_NAMES[public.curve.name]
    return {"kty": "EC", **common, "crv": curve, "x": _number(point.x, size), "y": _number(point.y, size)}


def _number(value: int, size: int = 0) -> str:
    return base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def base64url(content: bytes) -> str:
    """Encode without padding, as JSON Web Tokens do (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _blocks(pem: bytes) -> Sequence[bytes]:
    """The parts of a text from each BEGIN line to its END line. The parameters of elliptic curves are no key."""
    found = []
    for part in pem.split(_BEGIN)[1:]:
        body, end, rest = part.partition(_END)
        if end and not body.startswith(b"EC PARAMETERS"):
            found.append(_BEGIN + body + end + rest.partition(b"\n")[0] + b"\n")
    return found


def _id_of(public: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return base64url(hashlib.sha256(public.public_bytes(encoding, form)).digest())


def _algorithm_of(public: Any) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < _SMALLEST_RSA:
            raise KeyFormatError(f"an RSA key of {public.key_size} bits; at least {_SMALLEST_RSA} are needed")
        return "RS256"
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _ALGORITHM_OF_CURVE:
        return _ALGORITHM_OF_CURVE[public.curve.name]
    raise KeyFormatError("neither an RSA key nor an elliptic curve key of P-256, P-384 or P-521")
