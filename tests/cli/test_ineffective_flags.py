"""Flags that kube-apiserver accepts and that have no effect are named in the log at the start."""

from __future__ import annotations

import pytest

from kcp.cli.start import configuration_of
from kcp.server.process.ineffective_flags import warnings

CASES: list[tuple[tuple[str, ...], str]] = [
    (("--audit-log-maxage", "3"), "--audit-log-maxage has no effect without --audit-log-path"),
    (("--audit-log-mode=blocking",), "--audit-log-mode has no effect without --audit-log-path"),
    (
        ("--audit-webhook-batch-max-wait", "1s"),
        "--audit-webhook-batch-max-wait has no effect without --audit-webhook-config-file",
    ),
    (
        ("--authentication-token-webhook-cache-ttl", "1m"),
        "--authentication-token-webhook-cache-ttl has no effect without --authentication-token-webhook-config-file",
    ),
    (
        ("--authorization-webhook-version", "v1"),
        "--authorization-webhook-version has no effect without --authorization-webhook-config-file",
    ),
    (
        ("--requestheader-client-ca-file", "ca", "--requestheader-username-headers", "X Remote User,X-Remote-User"),
        '--requestheader-username-headers: "X Remote User" is not the name of a header field: no request has it',
    ),
    (
        ("--service-account-issuer", "http://a.example"),
        '--service-account-issuer: "http://a.example" is no https URL: the documents of OpenID Connect discovery are not served',
    ),
]


@pytest.mark.parametrize(("flags", "line"), CASES)
def test_a_flag_without_effect_is_named(flags: tuple[str, ...], line: str) -> None:
    configuration = configuration_of(flags)
    configuration.check()
    assert list(warnings(configuration)) == [line]


def test_flags_with_effect_are_not_named() -> None:
    flags = (
        *("--audit-policy-file", "p", "--audit-log-path", "a", "--audit-log-maxage", "3"),
        *("--authentication-token-webhook-config-file", "k", "--authentication-token-webhook-cache-ttl", "1m"),
        *("--requestheader-client-ca-file", "ca", "--requestheader-username-headers", "X-Remote-User"),
        *(
            "--requestheader-extra-headers-prefix",
            "X-Remote-Extra-",
            "--service-account-issuer",
            "https://a.example.com",
        ),
    )
    assert not list(warnings(configuration_of(flags)))
    assert not list(warnings(configuration_of(())))
