"""requirements-dev.lock pins every requirement of pyproject.toml with hashes, and names no host."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements-dev.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENTRY = re.compile(
    r"^([\w.-]+)==([\w.]+)(?: ; [^\\\n]+)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def members(group: str) -> Iterator[str]:
    """The requirements of a dependency group and of those that it includes."""
    for member in PROJECT["dependency-groups"][group]:
        if isinstance(member, str):
            yield member
        else:
            yield from members(member["include-group"])


def locked() -> dict[str, tuple[str, Any]]:
    """Versions and hashes by the package's name."""
    return {canonicalize_name(name): (version, hashes) for name, version, hashes in ENTRY.findall(LOCK)}


@pytest.mark.parametrize(
    "text", [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["etcd"], *members("dev")]
)
def test_a_requirement_is_locked_within_its_range(text: str) -> None:
    requirement = Requirement(text)
    version, _ = locked()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), "run contrib/lock.sh"


def test_every_line_belongs_to_a_package_with_hashes() -> None:
    rest = ENTRY.sub("", LOCK)
    assert [line for line in rest.splitlines() if not line.lstrip().startswith("#")] == []
    assert len(locked()) > 40


def test_the_lock_file_names_no_host() -> None:
    assert "://" not in LOCK
    assert "contrib/lock.sh" in LOCK.splitlines()[1]
    assert os.access(ROOT / "contrib" / "lock.sh", os.X_OK)
