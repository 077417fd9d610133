"""The parts of a server that an embedder can replace or add to.

Each part is a factory; its default makes what `kcp start` runs. An embedder replaces some of them::

    parts = Parts(admission_plugins=lambda environment: [RequireOwner()])
    process = ServerProcess(Configuration(root_directory=folder), parts)

A factory that adds to a default calls it: ``lambda environment: [*default_authorizers(environment), Mine()]``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kcp.auth.authentication.authenticator import Authenticator, TokenAuthenticator
from kcp.auth.authentication.client_certificates import ClientCertificates
from kcp.auth.authentication.static_tokens import StaticTokens, parse_token_file
from kcp.auth.authorization.authorizer import Authorizer
from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.authorization.syncers.permissions import SyncerPermissions
from kcp.auth.users import MASTERS, User, authenticated
from kcp.controllers.manager import Controller, Manager
from kcp.registry.admission.chain import AdmissionPlugin
from kcp.registry.verbs.registry import Registry
from kcp.server.observability.request_log import RequestLog
from kcp.server.observability.request_records import AuditSink
from kcp.server.process import flag_files
from kcp.server.process.authorization import configured_authorizers
from kcp.server.process.configuration import Configuration
from kcp.server.process.environment import Environment
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.identity import ADMINISTRATOR, client_authority_bundles
from kcp.server.process.storage import Storage, open_storage
from kcp.server.requests.application import RequestFilter
from kcp.server.requests.mounts import Mount

if TYPE_CHECKING:
    from kcp.server.audit.backends import AuditBackend


def default_authenticators(environment: Environment) -> Sequence[Authenticator]:
    """Authenticate by a front proxy, then by client certificates of the server's own CA and of ``--client-ca-file``."""
    observe = environment.metrics.observe_client_certificate
    certificates = ClientCertificates(environment.identity.client_authority_bundles, observe)
    own, *_ = environment.identity.client_authority_bundles
    path = environment.configuration.client_ca_file
    if path is not None:
        environment.files.add(path, lambda: certificates.replace_authorities(client_authority_bundles(own, path)))
    proxy = environment.other_authentication.front_proxy
    return [certificates] if proxy is None else [proxy, certificates]


def default_token_authenticators(environment: Environment) -> Sequence[TokenAuthenticator]:
    """Authenticate tokens of the administrator, ``--token-auth-file``, service accounts, OpenID Connect issuers and a webhook.

    Raises ConfigurationError.
    """
    administrator = authenticated(ADMINISTRATOR, groups=(MASTERS,))
    configuration = environment.configuration

    def read() -> list[tuple[str, User]]:
        return [(environment.identity.admin_token, administrator), *_configured_tokens(configuration)]

    tokens = StaticTokens(read())
    if configuration.token_auth_file is not None:
        environment.files.add(configuration.token_auth_file, lambda: tokens.replace(read()))
    accounts, other = environment.service_accounts, environment.other_authentication
    return [tokens, accounts.tokens, *other.token_authenticators]


def _configured_tokens(configuration: Configuration) -> list[tuple[str, User]]:
    path = configuration.token_auth_file
    return [] if path is None else flag_files.read("--token-auth-file", path, parse_token_file)


def default_authorizers(environment: Environment) -> Sequence[Authorizer]:
    """Authorize by ``--authorization-config`` or ``--authorization-mode``, by default by RBAC. Raises ConfigurationError."""
    options = environment.configuration.authorization
    rbac = RBACAuthorizer(environment.policies)
    rbac.ask_next(SyncerPermissions(rbac.rules_for, environment.assignments).decide)
    return configured_authorizers(options, rbac, environment.outbound, environment.files, environment.metrics)


def default_controllers(registry: Registry) -> Sequence[Controller]:
    """Run the controllers that need nothing but the registry: `kcp.controllers.manager.CONTROLLERS`."""
    return [Manager(registry)]


def default_audit_sinks(environment: Environment) -> Sequence[AuditSink]:
    """Write the request log when it is configured."""
    return [RequestLog()] if environment.configuration.log_requests else []


def default_audit_backends(environment: Environment) -> Sequence[AuditBackend]:
    """Write the events of the audit policy to the file, and send them to the webhook, that are configured.

    Raises ConfigurationError.
    """
    options, metrics = environment.configuration.audit, environment.audit_metrics
    backends: list[AuditBackend] = []
    if options.log_path is not None:
        from kcp.server.audit.log_backend import LogBackend

        backends.append(LogBackend(options, metrics))
    if options.webhook_config_file is not None:
        from kcp.outbound.errors import DestinationError
        from kcp.server.audit.webhook_backend import WebhookBackend

        try:
            backends.append(WebhookBackend(options, metrics, environment.outbound))
        except DestinationError as error:
            raise ConfigurationError(str(error)) from error
    return backends


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The factories of a server's parts.

    - ``backend`` opens the store; the exit stack closes it.
    - ``authenticators`` are asked in order, then the bearer token is, by the ``token_authenticators`` in order, which also
      answer TokenReviews; a request without any credential is anonymous where the configuration allows it.
    - ``authorizers``: the first that allows or denies decides, also on impersonation and in access reviews.
    - ``admission_plugins`` see every write, in order.
    - ``filters`` see every authorized request, in order, before it is served.
    - ``mounts`` are added to the mount table; one with the prefix of a default mount replaces that.
    - ``controllers`` run on one server of all that share the store; those that act with the server's identity always do.
    - ``audit_sinks`` get the record of every complete request.
    - ``audit_backends`` get the events of the audit policy, where one is configured.
    """

    backend: Callable[[Configuration, contextlib.AsyncExitStack], Awaitable[Storage]] = open_storage
    authenticators: Callable[[Environment], Sequence[Authenticator]] = default_authenticators
    token_authenticators: Callable[[Environment], Sequence[TokenAuthenticator]] = default_token_authenticators
    authorizers: Callable[[Environment], Sequence[Authorizer]] = default_authorizers
    admission_plugins: Callable[[Environment], Sequence[AdmissionPlugin]] = lambda _: ()
    filters: Callable[[Environment], Sequence[RequestFilter]] = lambda _: ()
    mounts: Callable[[Registry], Sequence[Mount]] = lambda _: ()
    controllers: Callable[[Registry], Sequence[Controller]] = default_controllers
    audit_sinks: Callable[[Environment], Sequence[AuditSink]] = default_audit_sinks
    audit_backends: Callable[[Environment], Sequence[AuditBackend]] = default_audit_backends


DEFAULT_PARTS: Final = Parts()
"""The parts of `kcp start`."""
