"""An owner of clients, whose connections are closed at the end."""

from __future__ import annotations

import pytest

from kcp.outbound.owner import Outbound
from tests.support.outbound_requests import closed_at_the_end
from tests.support.running_coroutines import Enter


@pytest.fixture
def outbound(enter: Enter) -> Outbound:
    return enter(closed_at_the_end())
