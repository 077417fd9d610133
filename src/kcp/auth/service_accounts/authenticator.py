"""Authentication with service account tokens.

Follows k8s.io/kubernetes' ``JWTTokenAuthenticator`` and its validators. A token is verified once: its result is cached by the
token's SHA-256 and dropped when the log shows a change of the account or of an object that the token is bound to, when the
keys change, and when the token expires. So a cached token costs a look-up, and a deleted account ends it for the next request.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from kcp.api import errors, times
from kcp.auth import json_web_tokens
from kcp.auth.authentication.authenticator import Found, Reviewed
from kcp.auth.json_web_tokens import InvalidTokenError, Token
from kcp.auth.service_accounts import claims, legacy_tokens
from kcp.auth.service_accounts.bound_objects import FOLLOWED, PLURALS, BoundObjects
from kcp.auth.service_accounts.bound_objects import Found as FoundObject
from kcp.auth.service_accounts.claims import LEEWAY, LEGACY_ISSUER, ClaimsError, TokenClaims
from kcp.auth.service_accounts.key_ring import KeyRing
from kcp.auth.service_accounts.legacy_tokens import LegacyTokenUses
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType
from kcp.store.contract import Event, Key, Store

_CACHE_SIZE: Final = 8192
_NEVER: Final = float("inf")
_START: Final = b"eyJ"
"""The base64 of ``{"``, with which every JSON Web Token starts: other tokens are none of ours."""

logger: Final = logging.getLogger("kcp.server")


class _Valid(NamedTuple):
    """A verified token: the user, the audiences, the Unix time at which it ends, and the keys of the log that it depends on."""

    user: User
    cluster: LogicalClusterName
    audiences: tuple[str, ...]
    for_server: bool
    until: float
    keys: tuple[Key, ...]


class ServiceAccountTokens:
    """The users of service account tokens."""

    def __init__(
        self,
        store: Store,
        objects: BoundObjects,
        key_ring: KeyRing,
        issuers: Collection[str],
        api_audiences: Sequence[str],
    ) -> None:
        """``issuers`` are accepted in tokens; ``api_audiences`` are the names of the API server."""
        self._store = store
        self._objects = objects
        self._key_ring = key_ring
        self._issuers = frozenset((*issuers, LEGACY_ISSUER))
        self._api_audiences = tuple(api_audiences)
        self.legacy_uses = LegacyTokenUses(objects)
        self._cache: OrderedDict[bytes, _Valid] = OrderedDict()
        self._dependents: dict[Key, set[bytes]] = {}
        key_ring.on_change.append(self._forget_all)
        for resource in FOLLOWED:
            store.follow(resource, self._on_change)

    def authenticate_token(self, token: bytes, cluster: LogicalClusterName) -> Found:
        """Return the user of a token of an account of this logical cluster; None for any other token."""
        if not token.startswith(_START):
            return None
        digest = sha256(token).digest()
        known = self._cache.get(digest)
        if known is not None and known.cluster == cluster and known.for_server and time.time() < known.until:
            return known.user
        return self._authenticate(token, digest, cluster)

    def cluster_of_token(self, token: bytes) -> LogicalClusterName | None:
        """Return the logical cluster that a token of these issuers names, valid or not; None for any other token."""
        known = self._cache.get(sha256(token).digest())
        if known is not None:
            return known.cluster
        parsed = self._parse(token)
        return None if parsed is None else claims.cluster_of(parsed.claims)

    def _parse(self, token: bytes) -> Token | None:
        """Decode a token that names one of the issuers, without verifying it; None for any other token."""
        parsed = json_web_tokens.parse(token)
        issuer = None if parsed is None else parsed.claims.get("iss")
        return parsed if type(issuer) is str and issuer in self._issuers else None

    async def review_token(
        self, token: bytes, cluster: LogicalClusterName, audiences: Sequence[str]
    ) -> Reviewed | None:
        """Return the user of a token for one of the audiences; None for a token that no account's issuer has issued.

        Raises StatusError 401 with the reason why a token is not valid.
        """
        try:
            valid = await self._validated(token, sha256(token).digest(), cluster)
            if valid is None:
                return None
            shared = tuple(audience for audience in audiences if audience in valid.audiences)
            if not shared:
                raise ClaimsError(_not_for(valid.audiences, audiences))
        except ClaimsError as error:
            raise errors.unauthorized(f"[invalid bearer token, {error}]") from error
        return Reviewed(valid.user, shared)

    async def _authenticate(self, token: bytes, digest: bytes, cluster: LogicalClusterName) -> User | None:
        try:
            valid = await self._validated(token, digest, cluster)
            if valid is None:
                return None
            if not valid.for_server:
                raise ClaimsError(_not_for(valid.audiences, self._api_audiences))
        except ClaimsError as error:
            logger.debug("a service account token was not accepted: %s", error)
            return None
        return valid.user

    async def _validated(self, token: bytes, digest: bytes, cluster: LogicalClusterName) -> _Valid | None:
        """Validate a token for a logical cluster, unless that is cached. Raises ClaimsError."""
        known = self._cache.get(digest)
        if known is None or known.cluster != cluster or time.time() >= known.until:
            parsed = self._parse(token)
            if parsed is None:
                return None
            if claims.cluster_of(parsed.claims) != cluster:
                raise ClaimsError("the token is for another logical cluster")
            await json_web_tokens.load()
            try:
                known = await self._validate(parsed, digest)
            except ClaimsError:  # another server may have just issued it
                await self._store.catch_up()
                known = await self._validate(parsed, digest)
        return known

    async def _validate(self, token: Token, digest: bytes) -> _Valid:
        try:
            key = json_web_tokens.verify(token, self._key_ring.verifying_keys(token.key_id))
        except InvalidTokenError as error:
            raise ClaimsError(str(error)) from error
        read, now = claims.read(token.claims), time.time()
        claims.check_times(read, now)
        types = [(kind, await self._objects.type_of(PLURALS[kind], read.account.cluster)) for kind in read.bound]
        # nothing is awaited between reading the objects and caching: a change in between drops the entry
        until, keys = self._check_objects(read, types, token.encoded, now)
        in_force = self._key_ring.verifying_keys(key.id)
        if not in_force:
            raise ClaimsError("the signature is not valid")
        until = min(until, _NEVER if read.expires is None else read.expires + LEEWAY, in_force[0].until or _NEVER)
        audiences = read.audiences or self._api_audiences
        for_server = any(audience in self._api_audiences for audience in audiences)
        valid = _Valid(read.user(), read.account.cluster, audiences, for_server, until, keys)
        self._remember(digest, valid)
        return valid

    def _check_objects(
        self, token: TokenClaims, types: Sequence[tuple[str, ResourceType | None]], text: bytes, now: float
    ) -> tuple[float, tuple[Key, ...]]:
        """Check that the objects of a token exist. Returns when they end, and the keys of the log. Raises ClaimsError."""
        account = token.account
        where = f"{account.namespace}/{account.name}"
        found = self._objects.find_account(account)
        if found is None:
            raise ClaimsError(f"service account {where} does not exist")
        _check_uid(found, account.uid, "service account UID ({}) does not match claim ({})")
        until, keys = _end_of(found), found.keys
        if now >= until:
            raise ClaimsError(f"service account {where} has been deleted")
        for kind, type_ in types:
            if kind == "node" and "pod" in token.bound:
                continue  # it says where the pod runs
            reference = token.bound[kind]
            bound = None
            if type_ is not None:
                bound = self._objects.find(type_, account.cluster, account.namespace, reference.name)
            if bound is None or now >= _end_of(bound):
                raise ClaimsError("service account token has been invalidated")
            if token.legacy:
                _check_copy(bound, text)
                self.legacy_uses.note(bound.object, account.cluster, now)
                legacy_tokens.check_valid(bound.object, account)
                until = min(until, legacy_tokens.end_of_day(now))
            else:
                what = f"{kind} UID ({{}}) does not match service account {kind} ref claim ({{}})"
                _check_uid(bound, reference.uid, what)
            until, keys = min(until, _end_of(bound)), (*keys, *bound.keys)
        return until, keys

    def _remember(self, digest: bytes, valid: _Valid) -> None:
        self._forget(digest)
        self._cache[digest] = valid
        for key in valid.keys:
            self._dependents.setdefault(key, set()).add(digest)
        if len(self._cache) > _CACHE_SIZE:
            self._forget(next(iter(self._cache)))

    def _forget(self, digest: bytes) -> None:
        valid = self._cache.pop(digest, None)
        for key in valid.keys if valid is not None else ():
            digests = self._dependents.get(key)
            if digests is not None:
                digests.discard(digest)
                if not digests:
                    del self._dependents[key]

    def _forget_all(self) -> None:
        self._cache.clear()
        self._dependents.clear()

    def _on_change(self, events: Sequence[Event]) -> None:
        if not self._dependents:
            return
        for event in events:
            for digest in tuple(self._dependents.get(event.key, ())):
                self._forget(digest)


def _check_uid(found: FoundObject, uid: str, message: str) -> None:
    present = found.object["metadata"].get("uid")
    if present != uid:
        raise ClaimsError(message.format(present, uid))


def _check_copy(secret: FoundObject, text: bytes) -> None:
    """Check that a legacy token is the one in its Secret. Raises ClaimsError."""
    try:
        copy = base64.b64decode((secret.object.get("data") or {}).get("token") or "")
    except (binascii.Error, ValueError):
        copy = b""
    if not hmac.compare_digest(copy, text):
        raise ClaimsError("token does not match server's copy")


def _end_of(found: FoundObject) -> float:
    """The Unix time until which an object is valid: it outlasts its deletion a little where finalizers keep it."""
    deleted = found.object["metadata"].get("deletionTimestamp")
    return _NEVER if not deleted else times.parse_time(deleted).timestamp() + LEEWAY


def _not_for(audiences: Sequence[str], requested: Sequence[str]) -> str:
    return f"token audiences {list(audiences)} is invalid for the target audiences {list(requested)}"
