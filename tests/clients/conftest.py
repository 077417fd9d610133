"""A server, a team in a logical cluster of its own, and Pods that programs run in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import pods
from tests.clients.pods import Pod
from tests.clients.teams import Team
from tests.service_accounts import conftest as service_accounts
from tests.service_accounts.conftest import Tenant

server = service_accounts.server
tenant = service_accounts.tenant


@pytest.fixture
def team(tenant: Tenant) -> Team:
    """A team in a fresh logical cluster; its account and its users have no roles yet."""
    return Team.founded(tenant)


@pytest.fixture
def pod(team: Team, tmp_path: Path) -> Pod:
    """A Pod of the team's account."""
    if reason := pods.missing():
        pytest.skip(reason)
    home = tmp_path / "pod"
    home.mkdir()
    return team.pod(home)
