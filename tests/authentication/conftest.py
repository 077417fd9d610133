"""What tests of authentication share: a running issuer, and authenticators over it with clocks that a test moves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kcp.auth.authentication.authenticator import resolved
from kcp.auth.authentication.oidc import configuration as files
from kcp.auth.authentication.oidc.tokens import OIDCTokens
from kcp.auth.users import User
from kcp.logical_clusters import DEFAULT
from kcp.outbound.owner import Outbound
from tests.support.oidc_issuer import Issuer, configuration_file
from tests.support.outbound_requests import closed_at_the_end
from tests.support.running_coroutines import Enter


@pytest.fixture
def outbound(enter: Enter) -> Outbound:
    return enter(closed_at_the_end())


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    made = Issuer(tmp_path / "issuer")
    with made.server:
        yield made


@dataclass
class Clock:
    """A clock that stands still unless a test moves it."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Tokens:
    """The tokens of issuers, with a monotonic clock that a test moves, and a wall clock that it may replace."""

    outbound: Outbound
    clock: Clock = field(default_factory=Clock)
    now: Callable[[], float] = time.time

    def configure(self, *authenticators: dict[str, Any], **fields: Any) -> Tokens:
        """Put a configuration in force."""
        read = files.read(json.dumps(configuration_file(*authenticators, **fields)).encode())
        if not hasattr(self, "oidc"):
            self.oidc = OIDCTokens(self.outbound, read, now=self.now, clock=self.clock)
        else:
            self.oidc.replace(read)
        return self

    async def user(self, token: str | bytes) -> User | None:
        """The user of a token."""
        encoded = token.encode() if isinstance(token, str) else token
        return await resolved(self.oidc.authenticate_token(encoded, DEFAULT))


@pytest.fixture
def tokens(outbound: Outbound) -> Tokens:
    return Tokens(outbound)
