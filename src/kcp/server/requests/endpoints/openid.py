"""What relying parties need to verify service account tokens: OpenID Connect discovery and the keys.

Follows OpenID Connect Discovery 1.0 as kube-apiserver does (KEP-1393): ``/.well-known/openid-configuration`` and
``/openid/v1/jwks``. Which users may read them is a matter of authorization.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from kcp.auth.service_accounts import keys
from kcp.auth.service_accounts.issuer import TokenIssuer
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.mounts import Mount
from kcp.server.requests.request_info import RequestInfo

CONFIGURATION_PATH: Final = "/.well-known/openid-configuration"
KEYS_PATH: Final = "/openid/v1/jwks"
_KEYS_TYPE: Final = b"application/jwk-set+json"
_CACHED: Final = ((b"cache-control", b"public, max-age=3600"),)


def openid_mounts(issuer: TokenIssuer, keys_url: str) -> Sequence[Mount]:
    """Return the mounts of both documents. ``keys_url`` is where clients find the keys."""

    async def configuration(exchange: Exchange, _: RequestInfo) -> None:
        await exchange.send(200, orjson.dumps(_configuration(issuer, keys_url)), more=_CACHED)

    async def key_set(exchange: Exchange, _: RequestInfo) -> None:
        document = orjson.dumps(keys.key_set(issuer.key_ring.verifying_keys()))
        await exchange.send(200, document, _KEYS_TYPE, _CACHED)

    return Mount(CONFIGURATION_PATH, configuration), Mount(KEYS_PATH, key_set)


def _configuration(issuer: TokenIssuer, keys_url: str) -> dict[str, Any]:
    return {
        "issuer": issuer.options.issuers[0],
        "jwks_uri": keys_url,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in issuer.key_ring.verifying_keys()}),
    }
