"""Composition: a server put together from its configuration and its parts."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kcp.auth.authentication.bearer_tokens import BearerTokens
from kcp.auth.authentication.union import UnionAuthenticator
from kcp.auth.authorization.union import UnionAuthorizer
from kcp.auth.certificates import expiration
from kcp.auth.service_accounts.issuer import TokenIssuer
from kcp.controllers import tasks
from kcp.controllers.manager import Controller
from kcp.registry.types.catalog import Catalog
from kcp.registry.verbs.registry import Registry
from kcp.server.observability.health import Check, Health
from kcp.server.observability.metrics import Metrics
from kcp.server.process import address_space
from kcp.server.process.auditing import audit_trail, events_of
from kcp.server.process.configuration import Configuration
from kcp.server.process.environment import Environment
from kcp.server.process.identity_controllers import identity_controllers
from kcp.server.process.parts import Parts
from kcp.server.process.registry_composition import registry_of
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

if TYPE_CHECKING:
    from kcp.server.audit.trail import AuditTrail

T = TypeVar("T")


class Composition(NamedTuple):
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
        """Start each controller; return when all have read the present state. If one cannot start, all are stopped."""
        tasks.WATCH.set(self._watch_controller)
        for started, controller in enumerate(self.controllers):
            try:
                await self._watch_controller(controller.start(), f"start of {type(controller).__name__}")
            except BaseException:
                await _stop(self.controllers[: started + 1])
                raise

    async def _watch_controller(self, work: Coroutine[Any, Any, None], name: str) -> None:
        await self.watchdog.watch(work, (CONTROLLER, name))

    async def stop_controllers(self) -> None:
        """Stop each controller, the last started first."""
        await _stop(self.controllers)


async def _stop(controllers: Sequence[Controller]) -> None:
    for controller in reversed(controllers):
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
    registry = await registry_of(parts, environment, authorizer, tokens)
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
        audit=Audit(parts.audit_sinks(environment), events_of(trail)),
        cluster_of_token=accounts.tokens.cluster_of_token,
    )
    application = Application(steps, metrics, deadlines, watchdog)
    controllers = [*parts.controllers(registry), *identity_controllers(registry, environment)]
    return Composition(
        registry, controllers, application, metrics, health, in_flight, dispatcher, mutations, watches, watchdog, trail
    )


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
    rotation = service_account_keys_mount(issuer.key_ring)
    if not issuer.options.issuers[0].startswith(
        "https://"
    ):  # no relying party accepts it: kube-apiserver has no documents
        return (rotation,)
    keys_url = configuration.service_accounts.jwks_uri or f"https://{server_address}{KEYS_PATH}"
    return (*openid_mounts(issuer, keys_url), rotation)


def _mount_table(catalog: Catalog, mounts: Iterable[Mount]) -> MountTable:
    """The mount table, with the index of itself at ``/``."""

    async def paths(info: RequestInfo) -> list[str]:
        await catalog.load(info.cluster)  # mounts list what its surface has
        return table.index(info)

    table = MountTable([index_mount(paths), *mounts])
    return table
