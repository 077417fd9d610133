"""What the parts of a server are made from, opened before any of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from kcp.auth.authorization.rbac.policies import Policies
from kcp.auth.authorization.syncers.assignments import Assignments
from kcp.outbound.owner import Outbound
from kcp.server.audit.metrics import AuditMetrics
from kcp.server.observability.metrics import Metrics
from kcp.server.process.authentication import OtherAuthentication
from kcp.server.process.configuration import Configuration
from kcp.server.process.identity import Identity
from kcp.server.process.reloading import ReloadedFiles
from kcp.server.process.service_accounts import ServiceAccounts, open_service_accounts
from kcp.store.contract import Store

Background = dict[str, Callable[[], Coroutine[Any, Any, None]]]
"""Work that goes on until the server stops, by its name in messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The server's configuration, identity on disk and open store, and what is opened over them.

    A part adds the files that it reads to ``files``, to have them reloaded when they change, its own metrics to
    ``metrics.registry``, and its work to ``background``. One that sends requests to other servers makes its clients by
    ``outbound``, which the server closes. ``service_accounts`` issue and accept the tokens of service accounts,
    ``other_authentication`` are the authenticators that know users of other programs, ``policies`` are what RBAC grants in
    each logical cluster of the store, and ``assignments`` say which Cluster an object is assigned to.
    """

    configuration: Configuration
    identity: Identity
    store: Store
    files: ReloadedFiles
    metrics: Metrics
    audit_metrics: AuditMetrics
    outbound: Outbound
    background: Background
    service_accounts: ServiceAccounts
    other_authentication: OtherAuthentication
    policies: Policies
    assignments: Assignments


async def open_environment(
    configuration: Configuration, identity: Identity, store: Store, files: ReloadedFiles, outbound: Outbound
) -> Environment:
    """Open what the parts are made from. Raises ConfigurationError, StoreUnavailableError."""
    accounts = await open_service_accounts(configuration.service_accounts, store, files)
    names = accounts.issuer.options
    other = OtherAuthentication(configuration, outbound, names.api_audiences, names.issuers)
    other.add_to(files)
    background: Background = {"the recording of used token Secrets": accounts.tokens.legacy_uses.run}
    if other.oidc is not None:
        background["the fetching of OIDC keys"] = other.oidc.follow
    return Environment(
        configuration=configuration,
        identity=identity,
        store=store,
        files=files,
        metrics=Metrics(),
        audit_metrics=AuditMetrics(),
        outbound=outbound,
        background=background,
        service_accounts=accounts,
        other_authentication=other,
        policies=Policies(store),
        assignments=Assignments(),
    )
