"""Authentication by other programs, made from the configuration: issuers, webhook, front proxy, and what is anonymous.

A changed ``--authentication-config`` is put in force while the server runs. A file that cannot be used is logged, and the
previous one stays in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kcp.auth.authentication.anonymous import Anonymous
from kcp.auth.authentication.authenticator import TokenAuthenticator
from kcp.auth.authentication.front_proxy import FrontProxy
from kcp.auth.authentication.oidc import configuration as files
from kcp.auth.authentication.oidc.configuration import (
    AnonymousRequests,
    AuthenticationConfiguration,
    ClaimRule,
    Issuer,
    JWTAuthenticator,
    Mapping,
)
from kcp.auth.authentication.oidc.tokens import OIDCTokens
from kcp.auth.authentication.oidc.validation import Validation
from kcp.auth.authentication.token_reviews import ReviewedTokens
from kcp.outbound.errors import DestinationError
from kcp.outbound.owner import Outbound
from kcp.outbound.webhooks import WebhookClient
from kcp.schema.configuration_files import ConfigurationFileError
from kcp.server.process.authentication_options import AuthenticationOptions, OIDCOptions
from kcp.server.process.configuration import Configuration, ConfigurationError
from kcp.server.process.identity import authority_bundle
from kcp.server.process.reloading import ReloadedFiles

_FLAG: Final = "--authentication-config"


class OtherAuthentication:
    """The authenticators that know users of other programs. ``oidc`` and ``webhook`` are None where not configured."""

    def __init__(
        self,
        configuration: Configuration,
        outbound: Outbound,
        api_audiences: Sequence[str] = (),
        disallowed_issuers: Sequence[str] = (),
    ) -> None:
        """``disallowed_issuers`` are those of the server's own service account tokens. Raises ConfigurationError."""
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
        if (path := self._options.config_file) is not None:
            found = self._read(path)
            self._put_anonymous(found.anonymous)
            return OIDCTokens(outbound, found)
        if self._options.oidc.issuer_url:
            return OIDCTokens(outbound, _of_flags(self._options.oidc, self._disallowed))
        return None

    def _reload(self, path: Path) -> None:
        found = self._read(path)
        assert self.oidc is not None
        self.oidc.replace(found)
        self._put_anonymous(found.anonymous)

    def _read(self, path: Path) -> AuthenticationConfiguration:
        try:
            found = files.read(path.read_bytes(), self._disallowed)
        except OSError as error:
            raise ConfigurationError(f"{_FLAG}: cannot read {path}: {error.strerror}") from error
        except ConfigurationFileError as error:
            raise ConfigurationError(f"{_FLAG}: {path}: {error}") from error
        if found.anonymous is not None and not self._configuration.anonymous_auth:
            raise ConfigurationError(f"{_FLAG}: {path}: anonymous: --anonymous-auth=false may not be given with it")
        return found

    def _put_anonymous(self, rule: AnonymousRequests | None) -> None:
        if rule is None:
            self.anonymous.replace(enabled=self._configuration.anonymous_auth)
        else:
            self.anonymous.replace(enabled=rule.enabled, paths=rule.paths)

    def _webhook(self, outbound: Outbound, api_audiences: Sequence[str]) -> ReviewedTokens | None:
        options = self._options
        if options.webhook_config_file is None:
            return None
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


def _of_flags(options: OIDCOptions, disallowed: Sequence[str]) -> AuthenticationConfiguration:
    """Return the configuration that the ``--oidc-*`` flags stand for. Raises ConfigurationError."""
    authority = "" if options.ca_file is None else _read_text("--oidc-ca-file", options.ca_file)
    issuer = Issuer(options.issuer_url, (options.client_id,), certificate_authority=authority)
    prefix = {"": "" if options.username_claim == "email" else f"{options.issuer_url}#", "-": ""}
    rules = (text.partition("=") for text in options.required_claims)
    validation = Validation(disallowed)
    validation.issuer(
        {"url": issuer.url, "audiences": list(issuer.audiences), "certificateAuthority": authority}, "issuer"
    )
    if validation.errors:
        raise ConfigurationError(f"--oidc-issuer-url, --oidc-ca-file: {', '.join(map(str, validation.errors))}")
    authenticator = JWTAuthenticator(
        issuer,
        username=Mapping(options.username_claim, prefix.get(options.username_prefix, options.username_prefix)),
        groups=Mapping(options.groups_claim, options.groups_prefix),
        claim_rules=tuple(ClaimRule(claim, value) for claim, _, value in rules),
        algorithms=options.signing_algs,
    )
    return AuthenticationConfiguration((authenticator,))


def _read_text(flag: str, path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{flag}: cannot read {path}: {error}") from error
