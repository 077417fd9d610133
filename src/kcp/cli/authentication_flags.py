"""The flags of authentication by other programs: OpenID Connect issuers, a webhook, a front proxy. Named as kube-apiserver's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from kcp.auth.authentication.front_proxy import FrontProxyOptions
from kcp.cli import flags
from kcp.server.process.authentication_options import WEBHOOK_VERSIONS, AuthenticationOptions, OIDCOptions

Decorated = Callable[..., Any]

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_authentication = flags.group("Authentication")
_WORDS: Final = flags.Words()


def _words(name: str, metavar: str, help_text: str) -> Callable[[Decorated], Decorated]:
    return _authentication(name, default="", type=_WORDS, metavar=metavar, show_default=False, help=help_text)


def _text(name: str, default: str, metavar: str, help_text: str) -> Callable[[Decorated], Decorated]:
    return _authentication(name, default=default, metavar=metavar, show_default=bool(default), help=help_text)


_FLAGS: Final = (
    _authentication(
        "--authentication-config",
        type=_FILE,
        help="AuthenticationConfiguration of apiserver.config.k8s.io: issuers of JSON Web Tokens, and what is anonymous. "
        "Reloaded when it changes.",
    ),
    _text("--oidc-issuer-url", "", "URL", "URL of the one OpenID Connect issuer; the scheme must be https."),
    _text("--oidc-client-id", "", "ID", "Audience that tokens of --oidc-issuer-url must have."),
    _text("--oidc-username-claim", "sub", "CLAIM", "Claim with the name of the user."),
    _text(
        "--oidc-username-prefix",
        "",
        "PREFIX",
        "Prefix of user names; - is none. [default: the issuer's URL and #, none for the claim email]",
    ),
    _text("--oidc-groups-claim", "", "CLAIM", "Claim with the groups: a string or a list of strings."),
    _text("--oidc-groups-prefix", "", "PREFIX", "Prefix of the names of groups."),
    _authentication(
        "--oidc-ca-file", type=_FILE, help="CA certificates that sign the issuer's. [default: those of the system]"
    ),
    _authentication(
        "--oidc-required-claim",
        multiple=True,
        metavar="KEY=VALUE",
        help="A claim that tokens must have, and its value; may be repeated.",
    ),
    _words(
        "--oidc-signing-algs",
        "NAME,...",
        "Signature algorithms that are accepted: RS, ES or PS with 256, 384 or 512. [default: RS256]",
    ),
    _authentication(
        "--authentication-token-webhook-config-file",
        type=_FILE,
        help="kubeconfig of a webhook that reviews bearer tokens.",
    ),
    _authentication(
        "--authentication-token-webhook-version",
        default="v1beta1",
        type=click.Choice(WEBHOOK_VERSIONS),
        help="Version of the TokenReviews that the webhook gets.",
    ),
    _authentication(
        "--authentication-token-webhook-cache-ttl",
        default="2m",
        type=flags.DurationType(),
        help="How long the webhook's answers are kept.",
    ),
    _authentication(
        "--requestheader-client-ca-file",
        type=_FILE,
        help="CA certificates of front proxies: only with a client certificate signed by them do the headers below count.",
    ),
    _words(
        "--requestheader-allowed-names",
        "NAME,...",
        "Common names that certificates of front proxies may have. [default: any]",
    ),
    _words("--requestheader-username-headers", "NAME,...", "Headers with the user name, for example X-Remote-User."),
    _words("--requestheader-uid-headers", "NAME,...", "Headers with the user's UID, for example X-Remote-Uid."),
    _words("--requestheader-group-headers", "NAME,...", "Headers with a group, for example X-Remote-Group."),
    _words(
        "--requestheader-extra-headers-prefix",
        "PREFIX,...",
        "Prefixes of headers with extra attributes of the user, for example X-Remote-Extra-.",
    ),
)


def authentication_flags(command: Decorated) -> Decorated:
    """Add the flags to a command."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def take_authentication_options(choices: dict[str, Any]) -> AuthenticationOptions:
    """Take the values of the flags out of those of a command."""

    def taken(prefix: str, *names: str) -> dict[str, Any]:
        return {name: choices.pop(f"{prefix}{name}") for name in names}

    oidc = taken(
        "oidc_",
        "issuer_url",
        "client_id",
        "username_claim",
        "username_prefix",
        "groups_claim",
        "groups_prefix",
        "ca_file",
    )
    webhook = taken("authentication_token_", "webhook_config_file", "webhook_version", "webhook_cache_ttl")
    proxy = taken("requestheader_", "allowed_names", "username_headers", "uid_headers", "group_headers")
    return AuthenticationOptions(
        config_file=choices.pop("authentication_config"),
        oidc=OIDCOptions(
            **oidc,
            required_claims=tuple(choices.pop("oidc_required_claim")),
            signing_algs=choices.pop("oidc_signing_algs") or ("RS256",),
        ),
        **webhook,
        front_proxy_ca_file=choices.pop("requestheader_client_ca_file"),
        front_proxy=FrontProxyOptions(**proxy, extra_prefixes=choices.pop("requestheader_extra_headers_prefix")),
    )
