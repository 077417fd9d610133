"""The flags of authentication by other programs: OpenID Connect issuers, a webhook, a front proxy. Named as kube-apiserver's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from kcp.auth.authentication.front_proxy import FrontProxyOptions
from kcp.cli.flags import Flag, OptionFlags
from kcp.server.process.authentication_options import WEBHOOK_VERSIONS, AuthenticationOptions, OIDCOptions

_HEADING: Final = "Authentication"

_OIDC: Final = OptionFlags(
    _HEADING,
    OIDCOptions,
    {
        "--oidc-issuer-url": Flag(
            "issuer_url", "URL of the one OpenID Connect issuer; the scheme must be https.", {"metavar": "URL"}
        ),
        "--oidc-client-id": Flag(
            "client_id", "Audience that tokens of --oidc-issuer-url must have.", {"metavar": "ID"}
        ),
        "--oidc-username-claim": Flag("username_claim", "Claim with the name of the user.", {"metavar": "CLAIM"}),
        "--oidc-username-prefix": Flag(
            "username_prefix",
            "Prefix of user names; - is none. [default: the issuer's URL and #, none for the claim email]",
            {"metavar": "PREFIX"},
        ),
        "--oidc-groups-claim": Flag(
            "groups_claim", "Claim with the groups: a string or a list of strings.", {"metavar": "CLAIM"}
        ),
        "--oidc-groups-prefix": Flag("groups_prefix", "Prefix of the names of groups.", {"metavar": "PREFIX"}),
        "--oidc-ca-file": Flag("ca_file", "CA certificates that sign the issuer's. [default: those of the system]"),
        "--oidc-required-claim": Flag(
            "required_claims",
            "A claim that tokens must have, and its value; may be repeated.",
            {"type": str, "multiple": True, "metavar": "KEY=VALUE"},
        ),
        "--oidc-signing-algs": Flag(
            "signing_algs", "Signature algorithms that are accepted: RS, ES or PS with 256, 384 or 512."
        ),
    },
)
_PROXY: Final = OptionFlags(
    _HEADING,
    FrontProxyOptions,
    {
        "--requestheader-allowed-names": Flag(
            "allowed_names", "Common names that certificates of front proxies may have. [default: any]"
        ),
        "--requestheader-username-headers": Flag(
            "username_headers", "Headers with the user name, for example X-Remote-User."
        ),
        "--requestheader-uid-headers": Flag("uid_headers", "Headers with the user's UID, for example X-Remote-Uid."),
        "--requestheader-group-headers": Flag("group_headers", "Headers with a group, for example X-Remote-Group."),
        "--requestheader-extra-headers-prefix": Flag(
            "extra_prefixes",
            "Prefixes of headers with extra attributes of the user, for example X-Remote-Extra-.",
            {"metavar": "PREFIX,..."},
        ),
    },
)
_OTHERS: Final = OptionFlags(
    _HEADING,
    AuthenticationOptions,
    {
        "--authentication-config": Flag(
            "config_file",
            "AuthenticationConfiguration of apiserver.config.k8s.io: issuers of JSON Web Tokens, and what is anonymous. "
            "Reloaded when it changes.",
        ),
        "--authentication-token-webhook-config-file": Flag(
            "webhook_config_file", "kubeconfig of a webhook that reviews bearer tokens."
        ),
        "--authentication-token-webhook-version": Flag(
            "webhook_version",
            "Version of the TokenReviews that the webhook gets.",
            {"type": click.Choice(WEBHOOK_VERSIONS)},
        ),
        "--authentication-token-webhook-cache-ttl": Flag(
            "webhook_cache_ttl", "How long the webhook's answers are kept."
        ),
        "--requestheader-client-ca-file": Flag(
            "front_proxy_ca_file",
            "CA certificates of front proxies: only with a client certificate signed by them do the --requestheader-* headers "
            "count.",
        ),
    },
)


def authentication_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags to a command."""
    return _OTHERS(_OIDC(_PROXY(command)))


def take_authentication_options(choices: dict[str, Any]) -> AuthenticationOptions:
    """Take the values of the flags out of those of a command."""
    return _OTHERS.take(choices, oidc=_OIDC.take(choices), front_proxy=_PROXY.take(choices))
