"""Putting the parts together: a registry over a store, with the built-in types and the authorizer they ask."""

from __future__ import annotations

import uuid
from typing import Final

import orjson

from kcp.api import metadata
from kcp.auth.authentication.authenticators import BearerTokens
from kcp.auth.authorization.authorizers import Authorizer, BasicAuthorizer
from kcp.builtin.context import DEFAULT_EVENT_LIFETIME, BuiltinContext
from kcp.builtin.registration import builtin_types
from kcp.logical_clusters import SERVER_OWNED
from kcp.registry.types.catalog import Catalog, definitions_of
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import ABSENT, Change, Key, PreconditionFailedError, Store

_IDENTITY: Final = Key("servers.kcp.io", SERVER_OWNED, "", "identity")


async def compose_registry(
    store: Store,
    *,
    authorizer: Authorizer | None = None,
    tokens: BearerTokens | None = None,
    event_lifetime: int = DEFAULT_EVENT_LIFETIME,
) -> Registry:
    """The verbs over a store. The first write of a new log is its identity, from which what is virtual gets its UIDs."""
    uid, created = await log_identity(store)
    context = BuiltinContext(
        server_uid=uid,
        created=created,
        authorizer=authorizer if authorizer is not None else BasicAuthorizer(),
        tokens=tokens if tokens is not None else BearerTokens(()),
        definitions=lambda cluster: definitions_of(store, cluster),
        event_lifetime=event_lifetime,
    )
    return Registry(store, Catalog(store, builtin_types(context)))


async def log_identity(store: Store) -> tuple[str, str]:
    """The UID of a log and when it began; made when the log is new."""
    found = store.get(_IDENTITY)
    if found is None:
        content = {"uid": str(uuid.uuid4()), "created": metadata.now()}
        try:
            await store.write([Change(_IDENTITY, orjson.dumps(content), expected=ABSENT)])
        except PreconditionFailedError as error:
            found = error.actual
        else:
            return content["uid"], content["created"]
    assert found is not None
    read = orjson.loads(found.value)
    return read["uid"], read["created"]
