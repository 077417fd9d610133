"""The audit trail of a server: its policy, which is read again when its file changes, over the backends of the parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kcp.server.audit.options import AuditOptionError
from kcp.server.process import flag_files
from kcp.server.process.environment import Environment
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.parts import Parts

if TYPE_CHECKING:  # a server without a policy starts without them
    from kcp.server.audit.policy import Policy
    from kcp.server.audit.trail import AuditTrail
    from kcp.server.requests.audit_events import AuditEvents


def audit_trail(parts: Parts, environment: Environment) -> AuditTrail | None:
    """Return the audit trail, not yet started; None without a policy. Raises ConfigurationError."""
    path = environment.configuration.audit.policy_file
    if path is None:
        return None
    backends = parts.audit_backends(environment)
    if not backends:
        raise ConfigurationError(
            "--audit-policy-file needs --audit-log-path or --audit-webhook-config-file, where events go"
        )
    from kcp.server.audit.trail import AuditTrail

    metrics = environment.audit_metrics
    environment.metrics.registry.register(metrics)
    trail = AuditTrail(_read_policy(path), backends, metrics)

    def reload() -> None:
        trail.policy = _read_policy(path)

    environment.files.add(path, reload)
    return trail


def _read_policy(path: Path) -> Policy:
    from kcp.server.audit.policy_file import decode_policy

    return flag_files.read("--audit-policy-file", path, decode_policy)


def events_of(trail: AuditTrail | None) -> AuditEvents | None:
    """Return what records requests in the trail."""
    if trail is None:
        return None
    from kcp.server.requests.audit_events import AuditEvents

    return AuditEvents(trail)


async def start(trail: AuditTrail) -> None:
    """Start the backends. Raises ConfigurationError."""
    try:
        await trail.start()
    except AuditOptionError as error:
        raise ConfigurationError(str(error)) from error
