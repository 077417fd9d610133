"""Authentication by other programs, made from the configuration: issuers, webhook, front proxy, and what is anonymous.

A changed ``--authentication-config`` is put in force while the server runs. A file that cannot be used is logged, and the
previous one stays in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kcp.auth.authentication.anonymous import Anonymous
from kcp.auth.authentication.authenticator import TokenAuthenticator
from kcp.auth.authentication.front_proxy import FrontProxy
from kcp.outbound.owner import Outbound
from kcp.server.process.authentication_options import AuthenticationOptions
from kcp.server.process.configuration import Configuration
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.identity import authority_bundle
from kcp.server.process.reloading import ReloadedFiles

if TYPE_CHECKING:
    from kcp.auth.authentication.oidc.configuration import AuthenticationConfiguration
    from kcp.auth.authentication.oidc.tokens import OIDCTokens
    from kcp.auth.authentication.token_reviews import ReviewedTokens


class OtherAuthentication:
    """The authenticators that know users of other programs. ``oidc`` and ``webhook`` are None where not configured."""

    def __init__(
        self,
        configuration: Configuration,
        outbound: Outbound,
        api_audiences: Sequence[str],
        disallowed_issuers: Sequence[str],
    ) -> None:
        """``api_audiences`` are the names of this API server, ``disallowed_issuers`` those of its own service account tokens.

        Raises ConfigurationError.
        """
        self._configuration = configuration
        self._disallowed = tuple(disallowed_issuers)
        self._options: AuthenticationOptions = configuration.authentication
        self.anonymous = Anonymous(enabled=configuration.anonymous_auth)
        self.oidc = self._oidc(outbound)
        self.webhook = self._webhook(outbound, api_audiences)
        self.front_proxy = self._front_proxy()

    @property
    def token_authenticators(self) -> Sequence[TokenAuthenticator]:
        """The authenticators of bearer tokens, in kube-apiserver's order."""
        return [found for found in (self.oidc, self.webhook) if found is not None]

    def add_to(self, reloaded: ReloadedFiles) -> None:
        """Have the files reloaded when they change."""
        if (path := self._options.config_file) is not None:
            reloaded.add(path, lambda: self._reload(path))
        if (proxy := self.front_proxy) is not None and (bundle := self._options.front_proxy_ca_file) is not None:
            reloaded.add(bundle, lambda: proxy.replace_authorities([front_proxy_authority(bundle)]))

    def _oidc(self, outbound: Outbound) -> OIDCTokens | None:
        options = self._options
        if options.config_file is None and not options.oidc.issuer_url:
            return None
        from kcp.auth.authentication.oidc.tokens import OIDCTokens
        from kcp.server.process import oidc

        if options.config_file is None:
            return OIDCTokens(outbound, oidc.of_flags(options.oidc, self._disallowed))
        return OIDCTokens(outbound, self._read(options.config_file))

    def _read(self, path: Path) -> AuthenticationConfiguration:
        """Read the configuration file and put in force what is anonymous. Raises ConfigurationError."""
        from kcp.server.process import oidc

        found = oidc.of_file(path, self._disallowed, anonymous_auth=self._configuration.anonymous_auth)
        rule = found.anonymous
        if rule is None:
            self.anonymous.replace(enabled=self._configuration.anonymous_auth)
        else:
            self.anonymous.replace(enabled=rule.enabled, paths=rule.paths)
        return found

    def _reload(self, path: Path) -> None:
        assert self.oidc is not None
        self.oidc.replace(self._read(path))

    def _webhook(self, outbound: Outbound, api_audiences: Sequence[str]) -> ReviewedTokens | None:
        options = self._options
        if options.webhook_config_file is None:
            return None
        from kcp.auth.authentication.token_reviews import ReviewedTokens
        from kcp.outbound.errors import DestinationError
        from kcp.outbound.webhooks import WebhookClient

        flag = "--authentication-token-webhook-config-file"
        try:
            client = WebhookClient.from_kubeconfig(outbound, options.webhook_config_file, flag)
        except DestinationError as error:
            raise ConfigurationError(str(error)) from error
        return ReviewedTokens(
            client,
            version=options.webhook_version,
            lifetime=options.webhook_cache_ttl,
            api_audiences=api_audiences,
        )

    def _front_proxy(self) -> FrontProxy | None:
        path = self._options.front_proxy_ca_file
        return None if path is None else FrontProxy([front_proxy_authority(path)], self._options.front_proxy)


def front_proxy_authority(path: Path) -> bytes:
    """Read the authorities of front proxies. Raises ConfigurationError."""
    return authority_bundle("--requestheader-client-ca-file", path)
