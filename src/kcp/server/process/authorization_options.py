"""The options of authorization: modes, or a file with ordered authorizers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kcp.server.process.errors import ConfigurationError

MODES: Final = ("AlwaysAllow", "AlwaysDeny", "RBAC", "Webhook")
WEBHOOK_VERSIONS: Final = ("v1", "v1beta1")
_WEBHOOK: Final = "Webhook"


@dataclass(frozen=True, slots=True)
class AuthorizationOptions:
    """The authorizers, in order. Durations are in seconds."""

    mode: tuple[str, ...] = ("RBAC",)
    config: Path | None = None
    webhook_config_file: Path | None = None
    webhook_version: str = "v1beta1"
    webhook_cache_authorized_ttl: float = 300.0
    webhook_cache_unauthorized_ttl: float = 30.0

    def check(self) -> None:
        """Raise ConfigurationError for invalid values and combinations."""
        if self.config is not None and (self.mode, self.webhook_config_file) != (("RBAC",), None):
            raise ConfigurationError(
                "--authorization-config excludes --authorization-mode and --authorization-webhook-config-file"
            )
        if not self.mode:
            raise ConfigurationError("at least one authorization-mode must be passed")
        for name in self.mode:
            if name not in MODES:
                raise ConfigurationError(f'--authorization-mode: "{name}" is not one of {", ".join(MODES)}')
        if len(set(self.mode)) < len(self.mode):
            raise ConfigurationError(f"--authorization-mode: {','.join(self.mode)} has a mode more than once")
        if _WEBHOOK in self.mode and self.webhook_config_file is None:
            raise ConfigurationError(
                "authorization-mode Webhook's authorization config file not passed: --authorization-webhook-config-file"
            )
        if _WEBHOOK not in self.mode and self.webhook_config_file is not None:
            raise ConfigurationError("--authorization-webhook-config-file needs --authorization-mode Webhook")
        if self.webhook_version not in WEBHOOK_VERSIONS:
            raise ConfigurationError(
                f'--authorization-webhook-version: "{self.webhook_version}" is not one of {", ".join(WEBHOOK_VERSIONS)}'
            )
