"""The flags of service accounts. Named as kube-apiserver's."""

from __future__ import annotations

from typing import Final

from kcp.cli.flags import FILE, Flag, OptionFlags
from kcp.server.process.service_account_options import ServiceAccountOptions

service_account_flags: Final = OptionFlags(
    "Service accounts",
    ServiceAccountOptions,
    {
        "--service-account-issuer": Flag(
            "issuers",
            "Issuer of service account tokens, a name or a URL; may be repeated: tokens of all are accepted, new ones have the "
            "first. [default: https://kubernetes.default.svc.cluster.local]",
            {"type": str, "multiple": True, "metavar": "NAME"},
        ),
        "--service-account-signing-key-file": Flag(
            "signing_key_file",
            "Private RSA or ECDSA key in PEM form that signs the tokens. [default: generated, and kept in the log]",
        ),
        "--service-account-key-file": Flag(
            "key_files",
            "PEM file with further RSA or ECDSA keys, public or private, whose tokens are accepted; may be repeated.",
            {"type": FILE, "multiple": True},
        ),
        "--service-account-jwks-uri": Flag(
            "jwks_uri",
            "Where clients of the OpenID discovery document find the keys. [default: /openid/v1/jwks of this server]",
            {"metavar": "URL"},
        ),
        "--service-account-max-token-expiration": Flag(
            "max_token_expiration", "Longest lifetime of a token that a client requests, at least 1h; 0 is no limit."
        ),
        "--service-account-extend-token-expiration": Flag(
            "extend_token_expiration", "Let the tokens that kubelets request for Pods live for a year."
        ),
        "--api-audiences": Flag(
            "api_audiences", "Names of this API server in the audiences of tokens. [default: the issuers]"
        ),
    },
)
