"""Tokens as an attacker makes them: any header and claims, signed with any key or not at all."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import orjson

from kcp.auth import json_web_tokens
from kcp.auth.service_accounts.keys import SigningKey, base64url, generate, public_pem, read_signing_key


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The header, the claims and the encoded signature of a token."""
    parsed = json_web_tokens.parse(token.encode())
    assert parsed is not None
    return parsed.header, parsed.claims, token.rpartition(".")[2]


def signed(claims: dict[str, Any], key: SigningKey) -> str:
    """A token of these claims, signed with a key."""
    return json_web_tokens.sign(claims, key.key, algorithm=key.algorithm, key_id=key.id)


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


__all__ = ["encoded", "other_key", "parts", "public_pem", "signed", "signed_with_secret"]
