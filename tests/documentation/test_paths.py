"""The files that the pages mention exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(r"`([\w./<>*-]+\.(?:py|yaml|sh|md|toml))`")
FOLDERS = re.compile(r"`((?:src/kcp|tests|docs|bench|examples|contrib|changelog\.d)/[\w./-]*)`")


def tracked() -> list[str]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return ["/" + path for path in listed.stdout.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_page_names_files_that_exist(page: Path) -> None:
    text, files = page.read_text(), tracked()
    named = {name for name in NAMED.findall(text) if "<" not in name and "*" not in name}
    assert {name for name in named if not any(path.endswith("/" + name) for path in files)} == set()
    folders = {name for name in FOLDERS.findall(text) if not name.endswith((".py", ".md", ".yaml", ".toml"))}
    assert {name for name in folders if not (ROOT / name).exists()} == set()
