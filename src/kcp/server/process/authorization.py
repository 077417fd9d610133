"""The authorizers of the configuration: RBAC alone by default, else a chain of modes or of the entries of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcp.auth.authorization.authorizer import Authorizer
from kcp.auth.authorization.constant import ALWAYS_ALLOW, ALWAYS_DENY
from kcp.server.process import flag_files
from kcp.server.process.authorization_options import AuthorizationOptions
from kcp.server.process.errors import ConfigurationError

if TYPE_CHECKING:
    from kcp.auth.authorization.chain import NamedAuthorizer
    from kcp.auth.authorization.webhook.configuration import AuthorizerEntry, WebhookEntry
    from kcp.outbound.clients import OutboundClient
    from kcp.outbound.owner import Outbound
    from kcp.server.observability.authorization_metrics import AuthorizationMetrics
    from kcp.server.observability.metrics import Metrics
    from kcp.server.process.reloading import ReloadedFiles

_RBAC_ONLY: Final = ("RBAC",)
_CONFIG_FLAG: Final = "--authorization-config"
_WEBHOOK_FLAG: Final = "--authorization-webhook-config-file"
_LEGACY_NAME: Final = "default"
_LEGACY_TIMEOUT: Final = 30.0


def configured_authorizers(
    options: AuthorizationOptions, rbac: Authorizer, outbound: Outbound, files: ReloadedFiles, metrics: Metrics
) -> Sequence[Authorizer]:
    """Return the authorizers that the configuration asks for; ``rbac`` is that of the mode RBAC. Raises ConfigurationError."""
    if options.config is None and options.mode == _RBAC_ONLY:
        return [rbac]
    from kcp.auth.authorization.chain import AuthorizerChain
    from kcp.server.observability.authorization_metrics import AuthorizationMetrics

    counted = AuthorizationMetrics(metrics.registry)
    maker = _Maker(outbound, rbac, counted)
    path = options.config
    if path is None:
        return [AuthorizerChain(maker.of_modes(options), counted.decided)]
    chain = AuthorizerChain(maker.of_file(path), counted.decided)
    files.add(path, lambda: chain.replace(maker.of_file(path)))
    return [chain]


class _Maker:
    """Makes authorizers by their types, and retires the clients of those that a changed file has replaced."""

    def __init__(self, outbound: Outbound, rbac: Authorizer, metrics: AuthorizationMetrics) -> None:
        self._outbound = outbound
        self._metrics = metrics
        self._clients: list[OutboundClient] = []
        self._replaced: list[OutboundClient] = []
        """The clients of the authorizers before: decisions that are being made may still use them."""
        self._others = {"RBAC": rbac, "AlwaysAllow": ALWAYS_ALLOW, "AlwaysDeny": ALWAYS_DENY}

    def of_modes(self, options: AuthorizationOptions) -> list[NamedAuthorizer]:
        """Return the authorizers of ``--authorization-mode``. Raises ConfigurationError."""
        from kcp.auth.authorization.webhook.configuration import WEBHOOK, AuthorizerEntry

        webhook = None if options.webhook_config_file is None else _of_flags(options, options.webhook_config_file)
        entries = [AuthorizerEntry(mode, _LEGACY_NAME, webhook if mode == WEBHOOK else None) for mode in options.mode]
        return [self._named(entry, _WEBHOOK_FLAG) for entry in entries]

    def of_file(self, path: Path) -> list[NamedAuthorizer]:
        """Return the authorizers of ``--authorization-config``, in place of those before. Raises ConfigurationError."""
        before, self._clients = self._clients, []
        try:
            made = self._read(path)
        except ConfigurationError:
            unused, self._clients = self._clients, before
            self._retire(unused)
            raise
        self._retire(self._replaced)
        self._replaced = before
        return made

    def _retire(self, clients: Sequence[OutboundClient]) -> None:
        for client in clients:
            self._outbound.retire(client)

    def _read(self, path: Path) -> list[NamedAuthorizer]:
        from kcp.auth.authorization.webhook import configuration

        entries = flag_files.read(_CONFIG_FLAG, path, configuration.read)
        return [self._named(entry, f'{_CONFIG_FLAG}: authorizer "{entry.name}"') for entry in entries]

    def _named(self, entry: AuthorizerEntry, described: str) -> NamedAuthorizer:
        from kcp.auth.authorization.chain import NamedAuthorizer

        webhook = entry.webhook
        authorizer = self._others[entry.type] if webhook is None else self._webhook(webhook, described)
        return NamedAuthorizer(entry.type, entry.name, authorizer)

    def _webhook(self, webhook: WebhookEntry, described: str) -> Authorizer:
        from kcp.auth.authorization.webhook.authorizer import WebhookAuthorizer
        from kcp.outbound.errors import DestinationError
        from kcp.outbound.webhooks import WebhookClient

        try:
            client = WebhookClient.from_kubeconfig(self._outbound, webhook.kubeconfig, described)
        except DestinationError as error:
            raise ConfigurationError(str(error)) from error
        self._clients.append(client.client)
        return WebhookAuthorizer(client, webhook.options, webhook.conditions, self._metrics)


def _of_flags(options: AuthorizationOptions, kubeconfig: Path) -> WebhookEntry:
    """The webhook of the flags, which is never the reason for a refusal when it cannot be asked, as in kube-apiserver."""
    from kcp.auth.authorization.webhook.authorizer import WebhookOptions
    from kcp.auth.authorization.webhook.conditions import MatchConditions
    from kcp.auth.authorization.webhook.configuration import WebhookEntry

    asked = WebhookOptions(
        name=_LEGACY_NAME,
        version=options.webhook_version,
        timeout=_LEGACY_TIMEOUT,
        authorized_lifetime=options.webhook_cache_authorized_ttl,
        unauthorized_lifetime=options.webhook_cache_unauthorized_ttl,
        denies_on_failure=False,
    )
    return WebhookEntry(asked, MatchConditions(()), kubeconfig)
