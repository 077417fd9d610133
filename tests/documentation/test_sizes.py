"""Modules and functions have one job: none outgrows the size at which it can be read as a whole."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULE_LINES = 600
FUNCTION_LINES = 56


def test_no_module_and_no_function_is_too_long() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    long = []
    for name in listed.stdout.splitlines():
        source = (ROOT / name).read_text()
        long += [name] if source.count("\n") > MODULE_LINES else []
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                long += [f"{name}:{node.lineno} {node.name}: {lines}"] if lines > FUNCTION_LINES else []
    assert long == []
