"""The options of service accounts: the issuer of their tokens, and the keys that sign them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kcp.server.process.errors import ConfigurationError

_HOUR: Final = 3600


@dataclass(frozen=True, slots=True)
class ServiceAccountOptions:
    """Issuers, keys and lifetimes of tokens. Durations are in seconds."""

    issuers: tuple[str, ...] = ()
    """The names of the issuer; the first is in new tokens. Empty: the default one."""
    signing_key_file: Path | None = None
    """The key that signs; None: the one of the log."""
    key_files: tuple[Path, ...] = ()
    jwks_uri: str = ""
    max_token_expiration: float = 0.0
    """The longest lifetime of a token that a client requests; 0: no limit."""
    extend_token_expiration: bool = True
    api_audiences: tuple[str, ...] = ()
    """The names of the API server in the audiences of tokens; empty: those of the issuer."""

    def check(self) -> None:
        """Raise ConfigurationError for invalid values."""
        for issuer in self.issuers:
            if not issuer:
                raise ConfigurationError("--service-account-issuer must not be empty")
            if ":" in issuer and not _is_url(issuer):
                raise ConfigurationError(f'--service-account-issuer: "{issuer}" has a colon but is not a URL')
        if self.jwks_uri and not (_is_url(self.jwks_uri) and self.jwks_uri.startswith("https://")):
            raise ConfigurationError(f'--service-account-jwks-uri: "{self.jwks_uri}" is not an https URL')
        longest = self.max_token_expiration
        if longest and not _HOUR <= longest <= 1 << 32:
            raise ConfigurationError(
                f"--service-account-max-token-expiration must be between 1h and 2^32 seconds, not {longest:g} seconds"
            )


def _is_url(text: str) -> bool:
    try:
        parsed = urlsplit(text)
    except ValueError:
        return False
    return bool(parsed.scheme and (parsed.netloc or parsed.path))
