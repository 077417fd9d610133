"""Tokens as an attacker makes them: any header and claims, signed with any key or not at all."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson

from kcp.auth.service_accounts.keys import SigningKey, base64url, generate, public_pem, read_signing_key
from kcp.auth.service_accounts.signatures import segment


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The header, the claims and the encoded signature of a token."""
    header, claims = segment(token.encode(), 0), segment(token.encode(), 1)
    assert header is not None
    assert claims is not None
    return header, claims, token.rpartition(".")[2]


def encoded(header: Any, claims: Any, signature: str = "") -> str:
    """A token of these parts."""
    return f"{base64url(orjson.dumps(header))}.{base64url(orjson.dumps(claims))}.{signature}"


def signed_with_secret(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """A token with an HMAC (HS256)."""
    text = encoded(header, claims).rpartition(".")[0]
    return f"{text}.{base64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def other_key() -> SigningKey:
    """A key that no server knows."""
    return read_signing_key(generate())


__all__ = ["encoded", "other_key", "parts", "public_pem", "signed_with_secret"]
