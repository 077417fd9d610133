"""The issuers of the configuration: of ``--authentication-config``, or the one of the ``--oidc-*`` flags.

Imported only where one of them is given: reading expressions of a file loads the CEL compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kcp.auth.authentication.oidc import configuration as files
from kcp.auth.authentication.oidc.configuration import (
    AuthenticationConfiguration,
    ClaimRule,
    Issuer,
    JWTAuthenticator,
    Mapping,
)
from kcp.auth.authentication.oidc.validation import Validation
from kcp.server.process import flag_files
from kcp.server.process.authentication_options import OIDCOptions
from kcp.server.process.errors import ConfigurationError

_FLAG: Final = "--authentication-config"


def of_file(path: Path, disallowed: Sequence[str], *, anonymous_auth: bool) -> AuthenticationConfiguration:
    """Read a configuration file. Raises ConfigurationError.

    ``disallowed`` are issuers that a file may not have; ``anonymous_auth`` is the flag of that name.
    """
    found = flag_files.read(_FLAG, path, lambda content: files.read(content, disallowed))
    if found.anonymous is not None and not anonymous_auth:
        raise ConfigurationError(f"{_FLAG}: {path}: anonymous: --anonymous-auth=false may not be given with it")
    return found


def of_flags(options: OIDCOptions, disallowed: Sequence[str]) -> AuthenticationConfiguration:
    """Return the configuration that the ``--oidc-*`` flags stand for. Raises ConfigurationError."""
    authority = "" if options.ca_file is None else flag_files.read("--oidc-ca-file", options.ca_file, _text)
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


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("not text in PEM form") from None
