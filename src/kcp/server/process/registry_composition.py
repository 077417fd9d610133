"""The registry of a server: the verbs over its store, with the built-in types, the admission chain and the checks of permissions.

`own_admission_plugins` lists the plugins of every server; those of its parts come after them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import orjson

from kcp.api import metadata
from kcp.auth.authentication.authenticator import TokenReviewer
from kcp.auth.authentication.bearer_tokens import BearerTokens
from kcp.auth.authorization.authorizer import Authorizer
from kcp.auth.authorization.permission_checks import PermissionCheck
from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.authorization.rbac.escalation import EscalationCheck
from kcp.auth.authorization.rbac.policies import Policies
from kcp.auth.service_accounts.issuer import TokenIssuer
from kcp.builtin.context import DEFAULT_EVENT_LIFETIME, BuiltinContext
from kcp.builtin.registration import builtin_types
from kcp.builtin.types.certificates.certificatesigningrequests.admission import CertificateAdmission
from kcp.logical_clusters import SERVER_OWNED, SERVER_RECORDS
from kcp.registry.admission.chain import AdmissionPlugin, Chain
from kcp.registry.types.catalog import Catalog
from kcp.registry.verbs.registry import Registry
from kcp.server.process.environment import Environment
from kcp.server.process.parts import Parts
from kcp.store.contract import ABSENT, Change, Key, PreconditionFailedError, Store

_IDENTITY: Final = Key(SERVER_RECORDS, SERVER_OWNED, "", "identity")


def own_admission_plugins(authorizer: Authorizer) -> Sequence[AdmissionPlugin]:
    """Return the admission plugins of every server, in their order."""
    return [CertificateAdmission(authorizer)]


async def registry_of(
    parts: Parts, environment: Environment, authorizer: Authorizer, tokens: TokenReviewer
) -> Registry:
    """Return the registry of a server. Raises StoreUnavailableError."""
    configuration, issuer = environment.configuration, environment.service_accounts.issuer
    registry = await compose_registry(
        environment.store,
        plugins=[*own_admission_plugins(authorizer), *parts.admission_plugins(environment)],
        authorizer=authorizer,
        policies=environment.policies,
        tokens=tokens,
        issuer=issuer,
        trust=environment.identity.trust.decode(),
        publishes_trust=configuration.publish_root_ca,
        event_lifetime=int(configuration.event_ttl),
    )
    issuer.objects.read_from(registry)
    environment.assignments.read_from(registry)
    return registry


async def compose_registry(
    store: Store,
    *,
    authorizer: Authorizer | None = None,
    policies: Policies | None = None,
    tokens: TokenReviewer | None = None,
    plugins: Sequence[AdmissionPlugin] = (),
    event_lifetime: int = DEFAULT_EVENT_LIFETIME,
    issuer: TokenIssuer | None = None,
    trust: str = "",
    publishes_trust: bool = True,
) -> Registry:
    """Put the verbs over a store, with the built-in types.

    ``authorizer`` (by default RBAC) and ``tokens`` answer the reviews, ``policies`` are what RBAC grants in the store,
    ``plugins`` are the admission chain, ``event_lifetime`` is in seconds, ``issuer`` answers TokenRequests, ``trust`` is what
    clients must trust, and ``publishes_trust`` shows it as ``kube-root-ca.crt``. The first write of a new log is its identity,
    from which the virtual objects get their UIDs.
    """
    uid, created = await log_identity(store)
    policies = policies if policies is not None else Policies(store)
    authorizer = authorizer if authorizer is not None else RBACAuthorizer(policies)
    context = BuiltinContext(
        server_uid=uid,
        created=created,
        authorizer=authorizer,
        escalation=EscalationCheck(policies, authorizer),
        tokens=tokens if tokens is not None else BearerTokens(()),
        event_lifetime=event_lifetime,
        issuer=issuer,
        trust=trust,
        publishes_trust=publishes_trust,
    )
    registry = Registry(store, Catalog(store, builtin_types(context)), Chain(plugins))
    registry.check_permissions_by(PermissionCheck(authorizer))
    return registry


async def log_identity(store: Store) -> tuple[str, str]:
    """Return the UID of a log and its creation time; both are made when the log is new."""
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
