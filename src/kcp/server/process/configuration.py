"""The configuration of a server. `kcp start` has a flag for each field."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kcp.api import names
from kcp.server.audit.options import AuditOptionError, AuditOptions
from kcp.server.process.authentication_options import AuthenticationOptions
from kcp.server.process.authorization_options import AuthorizationOptions
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.service_account_options import ServiceAccountOptions
from kcp.store.backends import StorageOptions
from kcp.store.contract import OptionError

DURABILITIES: Final = ("full", "relaxed")
LOG_FORMATS: Final = ("text", "json")
_SHORTEST: Final = 0.001
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Configuration(StorageOptions):
    """The configuration of a server, storage included. Durations are in seconds; a limit of 0 is no limit."""

    bind_address: str = "127.0.0.1"
    secure_port: int = 6443
    healthz_bind_address: str = ""
    """Address and port where health is served over plain HTTP; empty is nowhere."""
    external_hostname: str = ""
    tls_cert_file: Path | None = None
    tls_private_key_file: Path | None = None
    tls_sans: tuple[str, ...] = ()
    client_ca_file: Path | None = None
    token_auth_file: Path | None = None
    authentication: AuthenticationOptions = field(default_factory=AuthenticationOptions)
    authorization: AuthorizationOptions = field(default_factory=AuthorizationOptions)
    anonymous_auth: bool = True
    service_accounts: ServiceAccountOptions = field(default_factory=ServiceAccountOptions)
    publish_root_ca: bool = True
    """Every namespace has the ConfigMap kube-root-ca.crt."""
    new_log: bool = False
    """Create the log where a server has run whose log is gone."""
    history_retention: float = 300.0
    compaction_interval: float | None = None
    """How often history is compacted; 0: never, None: the compactor derives it from the retention."""
    encryption_provider_config_automatic_reload: bool = True
    """Reload `encryption_provider_config` when it changes."""
    event_ttl: float = 3600.0
    max_requests_inflight: int = 400
    max_mutating_requests_inflight: int = 200
    enable_priority_and_fairness: bool = True
    """Let requests over a limit wait in fair queues; without it, they are refused."""
    max_queued_requests: int = 4096
    max_queued_requests_per_user: int = 1024
    max_queue_wait: float | None = None
    """How long a request may wait in a queue; None: a quarter of the request timeout."""
    min_request_timeout: float = 1800.0
    request_timeout: float = 60.0
    shutdown_delay_duration: float = 0.0
    shutdown_grace_period: float = 1.0
    log_requests: bool = False
    audit: AuditOptions = field(default_factory=AuditOptions)

    @property
    def queue_wait(self) -> float:
        """The seconds for which a request may wait in a queue."""
        return self.request_timeout / 4 if self.max_queue_wait is None else self.max_queue_wait

    def check(self) -> None:
        """Raise ConfigurationError for invalid values and combinations."""
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            raise ConfigurationError("--tls-cert-file and --tls-private-key-file must be given together")
        try:
            self.check_storage()
            self.audit.check()
        except (OptionError, AuditOptionError) as error:
            raise ConfigurationError(str(error)) from error
        self.authentication.check()
        self.authorization.check()
        self.service_accounts.check()
        if self.durability not in DURABILITIES:
            raise ConfigurationError(f"--durability must be one of {', '.join(DURABILITIES)}, not {self.durability!r}")
        if not 0 <= self.secure_port <= _HIGHEST_PORT:
            raise ConfigurationError(f"--secure-port must be between 0 and {_HIGHEST_PORT}, not {self.secure_port}")
        for flag, duration, shortest in (
            ("--request-timeout", self.request_timeout, _SHORTEST),
            ("--min-request-timeout", self.min_request_timeout, _SHORTEST),
            ("--history-retention", self.history_retention, _SHORTEST),
            ("--event-ttl", self.event_ttl, 1.0),
            ("--max-queue-wait", self.queue_wait, _SHORTEST),
        ):
            if duration < shortest:
                raise ConfigurationError(f"{flag} must be at least {shortest:g} seconds, not {duration:g}")
        for flag, count in (
            ("--max-queued-requests", self.max_queued_requests),
            ("--max-queued-requests-per-user", self.max_queued_requests_per_user),
        ):
            if count < 1:
                raise ConfigurationError(f"{flag} must be at least 1, not {count}")
        if not self.bind_address:
            raise ConfigurationError("--bind-address must not be empty; 0.0.0.0 and :: are all addresses")
        if self.healthz_bind_address:
            split_address("--healthz-bind-address", self.healthz_bind_address)
        if self.external_hostname:
            _check_host("--external-hostname", self.external_hostname)
        for name in self.tls_sans:
            _check_host("--tls-san", name.removeprefix("*."))


def split_address(flag: str, text: str) -> tuple[str, int]:
    """Return the host and the port of ``ADDRESS:PORT``; an IPv6 address is in brackets. Raises ConfigurationError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or (":" in host) != bracketed or not port.isascii() or not port.isdecimal():
        raise ConfigurationError(f'{flag}: "{text}" is not an address and a port, as 127.0.0.1:10256 or [::1]:10256')
    if int(port) > _HIGHEST_PORT:
        raise ConfigurationError(f"{flag}: the port must be between 0 and {_HIGHEST_PORT}, not {port}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _check_host(flag: str, name: str) -> None:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        if names.is_dns1123_subdomain_with_underscore(name.lower()):
            raise ConfigurationError(f'{flag}: "{name}" is neither a host name nor an IP address') from None
