"""The options of authentication that name other programs: OpenID Connect issuers, a webhook, a front proxy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kcp.auth.authentication.front_proxy import FrontProxyOptions
from kcp.auth.json_web_tokens import ALGORITHMS
from kcp.server.process.errors import ConfigurationError

WEBHOOK_VERSIONS: Final = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class OIDCOptions:
    """The one issuer of the ``--oidc-*`` flags, with which kube-apiserver was configured before it had a file."""

    issuer_url: str = ""
    client_id: str = ""
    username_claim: str = "sub"
    username_prefix: str = ""
    groups_claim: str = ""
    groups_prefix: str = ""
    ca_file: Path | None = None
    required_claims: tuple[str, ...] = ()
    """Each is ``key=value``."""
    signing_algs: tuple[str, ...] = ("RS256",)

    def check(self) -> None:
        """Raise ConfigurationError for invalid values and combinations."""
        if bool(self.issuer_url) != bool(self.client_id) or (not self.issuer_url and self != OIDCOptions()):
            raise ConfigurationError(
                "--oidc-issuer-url and --oidc-client-id must be given together, and with every other --oidc-* flag"
            )
        for text in self.required_claims:
            if not text.partition("=")[0] or "=" not in text:
                raise ConfigurationError(f'--oidc-required-claim: "{text}" is not key=value')
        for name in self.signing_algs:
            if name not in ALGORITHMS:
                known = ", ".join(ALGORITHMS)
                raise ConfigurationError(f'--oidc-signing-algs: "{name}" is not one of {known}')


@dataclass(frozen=True, slots=True)
class AuthenticationOptions:
    """Issuers, webhook and front proxy. Durations are in seconds."""

    config_file: Path | None = None
    oidc: OIDCOptions = field(default_factory=OIDCOptions)
    webhook_config_file: Path | None = None
    webhook_version: str = "v1beta1"
    webhook_cache_ttl: float = 120.0
    front_proxy_ca_file: Path | None = None
    front_proxy: FrontProxyOptions = field(default_factory=FrontProxyOptions)

    def check(self) -> None:
        """Raise ConfigurationError for invalid values and combinations."""
        if self.config_file is not None and self.oidc != OIDCOptions():
            raise ConfigurationError("--authentication-config and --oidc-* flags exclude each other")
        self.oidc.check()
        if self.webhook_version not in WEBHOOK_VERSIONS:
            raise ConfigurationError(
                f'--authentication-token-webhook-version: "{self.webhook_version}" is not one of '
                f"{', '.join(WEBHOOK_VERSIONS)}"
            )
        if self.front_proxy_ca_file is None and self.front_proxy != FrontProxyOptions():
            raise ConfigurationError("the --requestheader-* flags need --requestheader-client-ca-file")
        if self.front_proxy_ca_file is not None and not self.front_proxy.username_headers:
            raise ConfigurationError(
                "--requestheader-client-ca-file needs --requestheader-username-headers, for example X-Remote-User"
            )
