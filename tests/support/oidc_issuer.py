"""A real OpenID Connect issuer: an HTTPS server with a discovery document and signing keys that can be rotated."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.support.https_server import HTTPSServer, json_answer

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

AUDIENCE = "kcp"


def rsa_key(size: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, size)


@dataclass
class Issuer:
    """The state of an issuer: its published keys by ID, and the one that signs."""

    folder: Path
    keys: dict[str, Private] = field(default_factory=dict)
    signing: str = ""
    discovery: dict[str, Any] = field(default_factory=dict)
    """Fields that replace those of the discovery document."""
    failing: bool = False
    cache_control: str = ""
    path: str = ""
    """The path of the issuer's URL."""
    hold: float = 0.0
    """Seconds before an answer."""

    def __post_init__(self) -> None:
        self.server = HTTPSServer(self.folder, self._handle)
        self.rotate("first")

    @property
    def url(self) -> str:
        return self.server.url(self.path)

    def rotate(self, key_id: str, key: Private | None = None, *, keep: bool = False) -> None:
        """Sign with a new key; the former ones are published on only when ``keep`` says so."""
        if not keep:
            self.keys.clear()
        self.keys[key_id] = key if key is not None else ec.generate_private_key(ec.SECP256R1())
        self.signing = key_id

    @property
    def fetches(self) -> int:
        """How often the keys were fetched."""
        return sum(path == "/keys" for _, path in self.server.requests)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.hold:
            await asyncio.sleep(self.hold)
        if self.failing:
            return json_answer({}, 500)
        if request.path == "/keys":
            document = {"keys": [web_key(name, key) for name, key in self.keys.items()]}
            return json_answer(document, 200, Cache_Control=self.cache_control or "no-cache")
        if request.path == f"{self.path}/.well-known/openid-configuration" or request.path == "/discovery":
            return json_answer({"issuer": self.url, "jwks_uri": self.server.url("/keys"), **self.discovery})
        return json_answer({}, 404)

    def claims(self, **claims: Any) -> dict[str, Any]:
        """The claims of a valid token; None leaves one out."""
        made = {"iss": self.url, "aud": AUDIENCE, "sub": "jane", "exp": int(time.time()) + 600, **claims}
        return {name: value for name, value in made.items() if value is not None}

    def token(self, *, algorithm: str = "ES256", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a token that the present key signs."""
        headers = {"kid": self.signing, **(header or {})}
        return jwt.encode(self.claims(**claims), self.keys[self.signing], algorithm=algorithm, headers=headers)

    def configuration(self, **choices: Any) -> dict[str, Any]:
        """An item of ``jwt`` in an AuthenticationConfiguration."""
        issuer = {
            "url": self.url,
            "audiences": [AUDIENCE],
            "certificateAuthority": self.server.authority.certificate.decode(),
            **choices.pop("issuer", {}),
        }
        mappings = {"username": {"claim": "sub", "prefix": ""}, **choices.pop("claimMappings", {})}
        return {"issuer": issuer, "claimMappings": mappings, **choices}


def web_key(key_id: str, key: Private) -> dict[str, Any]:
    """The public half of a key as a JSON Web Key."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        found = RSAAlgorithm.to_jwk(public, as_dict=True)
    else:
        found = ECAlgorithm.to_jwk(public, as_dict=True)
    return {**{name: value for name, value in found.items() if name != "key_ops"}, "kid": key_id, "use": "sig"}


def configuration_file(*authenticators: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An AuthenticationConfiguration."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": list(authenticators),
        **fields,
    }
