"""The versions of etcd that kcp supports, checked when a server starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from kcp.store.contract import StoreUnavailableError

OLDEST: Final = (3, 4, 0)
"""Writes use nested transactions (3.3), watches use fragments (3.4)."""
LOSING: Final = (3, 5, 0), (3, 5, 2)
"""The first and the last version that may lose acknowledged writes when a member is killed."""


def check_versions(versions: Mapping[str, str]) -> str | None:
    """Return a warning about the members' versions, which are given by endpoint; None if there is nothing to warn of.

    Raises StoreUnavailableError for members that are too old.
    """
    numbers = {endpoint: _numbers(version) for endpoint, version in versions.items()}
    old = [endpoint for endpoint, number in numbers.items() if number and number < OLDEST]
    if old:
        raise StoreUnavailableError(
            f"{_listed(old, versions)}, which is too old: kcp needs {_text(OLDEST)} or newer. Upgrade etcd"
        )
    first, last = LOSING
    losing = [endpoint for endpoint, number in numbers.items() if number and first <= number <= last]
    if not losing:
        return None
    return (
        f"{_listed(losing, versions)}: when members of {_text(first)} to {_text(last)} are killed under load, acknowledged "
        "writes may be lost, and members may differ for good (https://github.com/etcd-io/etcd/issues/13766). Upgrade etcd to the "
        "newest 3.5 (3.5.16 or newer) or 3.6, and compare its members (`etcdctl endpoint hashkv --cluster`)"
    )


def _listed(endpoints: list[str], versions: Mapping[str, str]) -> str:
    return "etcd runs " + ", ".join(f"{versions[endpoint]} at {endpoint}" for endpoint in endpoints)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, of its release for a pre-release; empty for an invalid one."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else ()


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
