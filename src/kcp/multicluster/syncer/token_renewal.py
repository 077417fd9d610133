"""The renewal of the token with which a syncer in a cluster uses kcp, also while no cluster controller runs.

The token is in a Secret of the cluster, from which a kubelet refreshes the file that the syncer reads. The syncer asks kcp for
another token of its own service account, and writes it there. The cluster controller does the same earlier.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from kcp.client import APIResource, Client, ClientError, ConflictError, StatusError
from kcp.multicluster.placement import GROUP
from kcp.multicluster.syncer.ownership import metadata_of

TOKEN_KEY: Final = "token"  # noqa: S105 - the name of a key
"""The key of the token in the Secret."""
TOKEN_EXPIRES_ANNOTATION: Final = f"{GROUP}/token-expires"
"""The annotation of the Secret that says until when its token is valid."""
_SECRETS: Final = APIResource("", "v1", "secrets", "Secret")
_ACCOUNTS: Final = APIResource("", "v1", "serviceaccounts", "ServiceAccount")
_SUBJECT: Final = "system:serviceaccount:"
_INTERVAL: Final = 60.0
_RENEWED_AFTER: Final = 2 / 3
"""The part of its lifetime after which a token is renewed."""

logger = logging.getLogger(__name__)


class Claims(NamedTuple):
    """What a token of a service account says of itself; times are in seconds since 1970."""

    namespace: str
    account: str
    issued: float
    expires: float

    def is_due(self, now: float) -> bool:
        """Return whether the token is to be renewed."""
        return now >= self.issued + _RENEWED_AFTER * (self.expires - self.issued)


def claims_of(token: str) -> Claims | None:
    """Return the claims of a token, which are not verified; None for one that is not a service account's, or never expires."""
    try:
        payload = token.split(".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        namespace, _, account = claims["sub"].removeprefix(_SUBJECT).partition(":")
        found = Claims(namespace, account, float(claims["iat"]), float(claims["exp"]))
    except (IndexError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return found if account and claims["sub"].startswith(_SUBJECT) else None


class TokenRenewal:
    """Renews the token in a Secret."""

    def __init__(
        self,
        upstream: Client,
        downstream: Client,
        secret: tuple[str, str],
        *,
        interval: float = _INTERVAL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``secret`` is its namespace and name; ``interval`` is in seconds."""
        self._accounts = upstream
        self._name = secret[1]
        self._secrets = downstream.resource(_SECRETS, secret[0])
        self._interval = interval
        self._clock = clock

    async def run(self) -> None:
        """Look at the token every ``interval`` seconds until cancelled."""
        while True:
            try:
                await self.check()
            except (StatusError, ClientError) as error:
                logger.warning("the token in the Secret %s cannot be renewed: %s", self._name, error)
            await asyncio.sleep(self._interval)

    async def check(self) -> bool:
        """Renew the token if it is time. Returns whether it was renewed. Raises StatusError, ClientError."""
        secret = await self._secrets.get(self._name)
        claims = claims_of(_text_of((secret.get("data") or {}).get(TOKEN_KEY)))
        if claims is None or not claims.is_due(self._clock()):
            return False
        token, expires = await self._issue(claims)
        changed: dict[str, Any] = {
            "metadata": {
                "resourceVersion": metadata_of(secret)["resourceVersion"],
                "annotations": {TOKEN_EXPIRES_ANNOTATION: expires},
            },
            "data": {TOKEN_KEY: base64.b64encode(token.encode()).decode()},
        }
        try:
            await self._secrets.patch(self._name, changed, field_manager="kcp-syncer")
        except ConflictError:
            return False  # the cluster controller has just renewed it
        logger.info("the token in the Secret %s is renewed until %s", self._name, expires)
        return True

    async def _issue(self, claims: Claims) -> tuple[str, str]:
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": round(claims.expires - claims.issued)},
        }
        accounts = self._accounts.resource(_ACCOUNTS, claims.namespace)
        status: Mapping[str, str] = (await accounts.create(request, name=claims.account, subresource="token"))["status"]
        return status["token"], status["expirationTimestamp"]


def _text_of(data: Any) -> str:
    """Return a value of a Secret; empty if it is not there, or not text."""
    try:
        return base64.b64decode(data or "", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
