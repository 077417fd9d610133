"""The files that the pages mention, and the modules that docstrings mention, exist."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES += [ROOT / "examples" / "README.md", ROOT / "changelog.d" / "README.md"]
NAMED = re.compile(r"`([\w./<>*-]+\.(?:py|yaml|sh|md|toml))`")
DOTTED = re.compile(r"(?<!`)`((?:kcp|tests|bench)\.[a-z][\w.]*\w)`(?!`)")
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


def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    files = [
        ROOT / path[1:]
        for path in tracked()
        if path.endswith(".py") and path.startswith(("/src/", "/tests/", "/bench/"))
    ]
    parts = {file: file.relative_to(ROOT).with_suffix("").parts for file in files}
    return {".".join(part for part in names if part not in ("src", "__init__")): file for file, names in parts.items()}


def documentation_of(tree: ast.Module) -> Iterator[str]:
    """The strings that document a module, its members and their attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def test_modules_and_members_that_docstrings_name_exist() -> None:
    known = modules()
    sources = {file: file.read_text() for file in known.values()}
    missing = []
    for file, source in sources.items():
        for text in documentation_of(ast.parse(source)):
            for name in DOTTED.findall(text):
                module = name
                while module and module not in known:
                    module = module.rpartition(".")[0]
                members = name[len(module) :].strip(".").split(".") if module else [name]
                defined = sources[known[module]] if module else ""
                missing += [
                    (file.name, name) for member in members if member and not re.search(rf"\b{member}\b", defined)
                ]
    assert missing == []
