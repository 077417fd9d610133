"""How the workers of pytest-xdist import a clean checkout: each compiles a part of the tests.

Each worker collects all tests, in one order. Where no module is compiled yet, each worker would compile each of them at about the
same time, which takes longer than the rest of the collection. Thus kcp is compiled before the workers start, and each of them
imports another part of the tests first.
"""

from __future__ import annotations

import compileall
import contextlib
import importlib
from pathlib import Path
from typing import Any

import pytest


def compile_kcp(config: pytest.Config) -> None:
    """Compile what the workers are to import."""
    compileall.compile_dir(config.rootpath / "src", quiet=2, workers=0)


def import_part(config: pytest.Config, worker: dict[str, Any]) -> None:
    """Import those modules that this worker is to compile, among those that are collected. The others find them compiled."""
    number = int(worker["workerid"].removeprefix("gw"))
    for module in _modules(config)[number :: worker["workercount"]]:
        # the collection imports it again, and reports what is wrong; some need the marks of a conftest.py that it loads first
        with contextlib.suppress(Exception, pytest.skip.Exception, pytest.fail.Exception):
            importlib.import_module(module)


def _modules(config: pytest.Config) -> list[str]:
    """The names of the modules with tests below the arguments of the command line."""
    asked = [(config.invocation_params.dir / each.partition("::")[0]).resolve() for each in config.args]
    files = [file for each in asked for file in (sorted(each.rglob("test_*.py")) if each.is_dir() else [])]
    ignored = [Path(each).resolve() for each in config.getoption("ignore") or ()]
    return [
        ".".join(file.relative_to(config.rootpath).with_suffix("").parts)
        for file in files
        if file.is_relative_to(config.rootpath) and not any(file.is_relative_to(each) for each in ignored)
    ]
