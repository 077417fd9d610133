"""Composition: a server put together from its configuration and its parts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from kcp.api import metadata
from kcp.auth.authentication.authenticator import TokenReviewer
from kcp.auth.authentication.bearer_tokens import BearerTokens
from kcp.auth.authentication.union import UnionAuthenticator
from kcp.auth.authorization.authorizer import Authorizer
from kcp.auth.authorization.permission_checks import PermissionCheck
from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.authorization.rbac.escalation import EscalationCheck
from kcp.auth.authorization.rbac.policies import Policies
from kcp.auth.authorization.union import UnionAuthorizer
from kcp.auth.certificates import expiration
from kcp.auth.service_accounts.issuer import TokenIssuer
from kcp.builtin.context import DEFAULT_EVENT_LIFETIME, BuiltinContext
from kcp.builtin.registration import builtin_types
from kcp.builtin.types.certificates.certificatesigningrequests.admission import CertificateAdmission
from kcp.controllers import tasks
from kcp.controllers.manager import Controller
from kcp.logical_clusters import SERVER_OWNED, SERVER_RECORDS
from kcp.registry.admission.chain import AdmissionPlugin, Chain
from kcp.registry.types.catalog import Catalog
from kcp.registry.verbs.registry import Registry
from kcp.server.audit.trail import AuditTrail
from kcp.server.observability.health import Check, Health
from kcp.server.observability.metrics import Metrics
from kcp.server.process import address_space
from kcp.server.process.auditing import audit_trail
from kcp.server.process.configuration import Configuration
from kcp.server.process.environment import Environment
from kcp.server.process.parts import Parts
from kcp.server.process.signing import certificate_controllers
from kcp.server.requests.application import Application, Steps
from kcp.server.requests.audit import Audit
from kcp.server.requests.deadlines import Deadlines
from kcp.server.requests.endpoints.discovery import DiscoveryEndpoint
from kcp.server.requests.endpoints.health_and_metrics import health_mounts, index_mount, metrics_mount, version_mount
from kcp.server.requests.endpoints.openapi import OpenAPI
from kcp.server.requests.endpoints.openid import KEYS_PATH, openid_mounts
from kcp.server.requests.endpoints.service_account_keys import service_account_keys_mount
from kcp.server.requests.fairness.dispatcher import Dispatcher
from kcp.server.requests.inflight import FixedLimits, InFlight, Limit
from kcp.server.requests.loop_watchdog import CONTROLLER, LoopWatchdog
from kcp.server.requests.mounts import Mount, MountTable
from kcp.server.requests.mutations import Mutations
from kcp.server.requests.request_info import RequestInfo
from kcp.server.requests.resources import Resources
from kcp.server.requests.watches import Watches
from kcp.store.contract import ABSENT, Change, Key, PreconditionFailedError, Store

_IDENTITY: Final = Key(SERVER_RECORDS, SERVER_OWNED, "", "identity")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Composition:
    """A server that is put together and not yet listening."""

    registry: Registry
    controllers: Sequence[Controller]
    application: Application
    metrics: Metrics
    health: Health
    in_flight: InFlight
    dispatcher: Dispatcher | None
    mutations: Mutations
    watches: Watches
    watchdog: LoopWatchdog
    audit_trail: AuditTrail | None

    async def start_controllers(self) -> None:
        """Start each controller; return when all have read the present state."""
        tasks.WATCH.set(self._watch_controller)
        for controller in self.controllers:
            await self._watch_controller(controller.start(), f"start of {type(controller).__name__}")

    async def _watch_controller(self, work: Coroutine[Any, Any, None], name: str) -> None:
        await self.watchdog.watch(work, (CONTROLLER, name))

    async def stop_controllers(self) -> None:
        """Stop each controller, the last started first."""
        for controller in reversed(self.controllers):
            await controller.stop()


async def compose(
    parts: Parts,
    environment: Environment,
    ready_checks: Mapping[str, Check],
    ready_notes: Mapping[str, Check],
    server_address: str,
) -> Composition:
    """Put a server together.

    ``ready_checks`` and ``ready_notes`` are those of ``/readyz``; ``server_address`` is the server's host and port, for ``/api``.

    Raises ConfigurationError.
    """
    configuration = environment.configuration
    accounts, anonymous = environment.service_accounts, environment.other_authentication.anonymous
    tokens = BearerTokens(parts.token_authenticators(environment), accounts.issuer.options.api_audiences)
    authorizer = _only_or(UnionAuthorizer, parts.authorizers(environment))
    registry = await _registry_of(parts, environment, authorizer, tokens, accounts.issuer)
    space = address_space.of_process()
    if space is not None:
        registry.large_writes.require = space.require
    deadlines, metrics = Deadlines(configuration.request_timeout), environment.metrics
    metrics.set_serving_certificate(expiration(environment.identity.serving.certificate).timestamp())
    in_flight = _in_flight(configuration, metrics)
    dispatcher = _dispatcher(configuration, in_flight, metrics)
    watches = Watches(registry, metrics, configuration.min_request_timeout)
    health = Health({"ping": lambda: None}, ready_checks, ready_notes)
    default_mounts = _default_mounts(registry.catalog, health, metrics, server_address)
    token_mounts = _token_mounts(accounts.issuer, configuration, server_address)
    mounts = _mount_table(registry.catalog, [*default_mounts, *token_mounts, *parts.mounts(registry)])
    watchdog = LoopWatchdog(metrics, mounts.roots)
    mutations = Mutations(deadlines, watchdog)
    trail = audit_trail(parts, environment)
    steps = Steps(
        authenticator=UnionAuthenticator([*parts.authenticators(environment), tokens], anonymous),
        authorizer=authorizer,
        filters=[*address_space.filters(space), *parts.filters(environment)],
        resources=Resources(registry, watches, mutations),
        mounts=mounts,
        scheduling=dispatcher if dispatcher is not None else FixedLimits(in_flight),
        audit=Audit(parts.audit_sinks(environment), trail),
        cluster_of_token=accounts.tokens.cluster_of_token,
    )
    application = Application(steps, metrics, deadlines, watchdog)
    controllers = [*parts.controllers(registry), *certificate_controllers(registry, environment)]
    return Composition(
        registry, controllers, application, metrics, health, in_flight, dispatcher, mutations, watches, watchdog, trail
    )


async def _registry_of(
    parts: Parts, environment: Environment, authorizer: Authorizer, tokens: TokenReviewer, issuer: TokenIssuer
) -> Registry:
    configuration = environment.configuration
    registry = await compose_registry(
        environment.store,
        plugins=[CertificateAdmission(authorizer), *parts.admission_plugins(environment)],
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


def _only_or(union: Callable[[Sequence[T]], T], members: Sequence[T]) -> T:
    """The only member, or the union of several."""
    return members[0] if len(members) == 1 else union(members)


def _in_flight(configuration: Configuration, metrics: Metrics) -> InFlight:
    reading, mutating = Limit(configuration.max_requests_inflight), Limit(configuration.max_mutating_requests_inflight)
    metrics.add_in_flight("readOnly", lambda: reading.count + reading.exempt)
    metrics.add_in_flight("mutating", lambda: mutating.count + mutating.exempt)
    return InFlight(reading, mutating)


def _dispatcher(configuration: Configuration, in_flight: InFlight, metrics: Metrics) -> Dispatcher | None:
    """The fair queues of requests, unless they are disabled."""
    if not configuration.enable_priority_and_fairness:
        return None
    dispatcher = Dispatcher(
        in_flight,
        flow_limit=configuration.max_queued_requests_per_user,
        total_limit=configuration.max_queued_requests,
        wait_limit=Deadlines(configuration.queue_wait),
    )
    metrics.registry.register(dispatcher.counts)
    return dispatcher


def _default_mounts(catalog: Catalog, health: Health, metrics: Metrics, server_address: str) -> Sequence[Mount]:
    return (
        *DiscoveryEndpoint(catalog, server_address).mounts(),
        *OpenAPI(catalog).mounts(),
        *health_mounts(health),
        metrics_mount(metrics),
        version_mount(),
    )


def _token_mounts(issuer: TokenIssuer, configuration: Configuration, server_address: str) -> Sequence[Mount]:
    keys_url = configuration.service_account_jwks_uri or f"https://{server_address}{KEYS_PATH}"
    return (*openid_mounts(issuer, keys_url), service_account_keys_mount(issuer.key_ring))


def _mount_table(catalog: Catalog, mounts: Iterable[Mount]) -> MountTable:
    """The mount table, with the index of itself at ``/``."""

    async def paths(info: RequestInfo) -> list[str]:
        await catalog.load(info.cluster)  # mounts list what its surface has
        return table.index(info)

    table = MountTable([index_mount(paths), *mounts])
    return table


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
