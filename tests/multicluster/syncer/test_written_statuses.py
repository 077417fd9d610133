"""A status is not written again while the cache is from before the write, unless the server was restored from a backup."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.multicluster.syncer.statuses import Written

READY = {"readyReplicas": 2}
LATER = 10.0


def deployment(version: str, status: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version}, "status": status or {}}


WRITTEN = Written.of("digest", deployment("100"), deployment("110", READY), LATER)


def test_what_the_server_returned_shows_the_write() -> None:
    assert WRITTEN.is_shown_by(deployment("110", READY))
    assert not WRITTEN.is_shown_by(deployment("120", {"readyReplicas": 1}))


@pytest.mark.parametrize(
    ("version", "at", "missed"),
    [
        ("100", 0.0, True),
        ("105", 0.0, True),  # another write in between
        ("110", 0.0, False),
        ("1000", 0.0, False),
        ("99", 0.0, False),  # a backup was restored
        ("100", LATER, False),  # whatever happened, the status is not left wrong
        ("opaque", 0.0, False),
    ],
)
def test_a_cache_misses_a_write_from_the_version_that_it_changed_to_its_own(
    version: str, at: float, missed: bool
) -> None:
    assert WRITTEN.is_missed_by(deployment(version), at) is missed
