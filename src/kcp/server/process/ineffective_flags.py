"""Flags that are accepted and have no effect, as in kube-apiserver: a start warns about them in the log."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from kcp.auth.authentication.front_proxy import FrontProxyOptions
from kcp.server.audit.options import AuditOptions
from kcp.server.process.authentication_options import AuthenticationOptions
from kcp.server.process.authorization_options import AuthorizationOptions
from kcp.server.process.configuration import Configuration

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
"""A token of RFC 9110, section 5.6.2."""


class _Group(NamedTuple):
    """Flags that need another one: ``prefix`` begins their fields, ``flags`` their names; ``main`` is the field of the other."""

    options: type
    prefix: str
    flags: str
    main: str
    main_flag: str


_GROUPS: Final = (
    _Group(AuditOptions, "log_", "--audit-log-", "log_path", "--audit-log-path"),
    _Group(AuditOptions, "webhook_", "--audit-webhook-", "webhook_config_file", "--audit-webhook-config-file"),
    _Group(
        AuthenticationOptions,
        "webhook_",
        "--authentication-token-webhook-",
        "webhook_config_file",
        "--authentication-token-webhook-config-file",
    ),
    _Group(
        AuthorizationOptions,
        "webhook_",
        "--authorization-webhook-",
        "webhook_config_file",
        "--authorization-webhook-config-file",
    ),
)
_HEADERS: Final = (
    ("--requestheader-username-headers", "username_headers"),
    ("--requestheader-uid-headers", "uid_headers"),
    ("--requestheader-group-headers", "group_headers"),
    ("--requestheader-extra-headers-prefix", "extra_prefixes"),
)


def warnings(configuration: Configuration) -> Iterator[str]:
    """Yield a line for each flag of a valid configuration that has no effect."""
    for options in (configuration.audit, configuration.authentication, configuration.authorization):
        for group in _GROUPS:
            if isinstance(options, group.options) and getattr(options, group.main) is None:
                yield from _without_main(options, group)
    yield from _header_names(configuration.authentication.front_proxy)
    if (issuer := next(iter(configuration.service_accounts.issuers), "")) and not issuer.startswith("https://"):
        yield (
            f'--service-account-issuer: "{issuer}" is no https URL: the documents of OpenID Connect discovery are not served'
        )


def _without_main(options: Any, group: _Group) -> Iterator[str]:
    for field in dataclasses.fields(options):
        if field.name.startswith(group.prefix) and getattr(options, field.name) != field.default:
            flag = group.flags + field.name.removeprefix(group.prefix).replace("_", "-")
            yield f"{flag} has no effect without {group.main_flag}"


def _header_names(options: FrontProxyOptions) -> Iterator[str]:
    for flag, field in _HEADERS:
        for name in getattr(options, field):
            if not _HEADER_NAME.fullmatch(name):
                yield f'{flag}: "{name}" is not the name of a header field: no request has it'
