"""The page of the client library: its blocks run in their order, and print what the page shows."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

import pytest

import kcp.client
from kcp.testing import LogicalCluster

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def test_the_blocks_run_and_print_what_is_shown(
    kcp_cluster: LogicalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kcp_cluster.kubeconfig))
    names: dict[str, Any] = {"__name__": "docs"}
    printed: str | None = None
    for found in BLOCK.finditer(PAGE.read_text()):
        language, text = found.groups()
        if language == "text":
            assert printed == text
            printed = ""
        else:
            assert not printed, f"the page does not show {printed!r}"
            printed = await run(text, names)
    assert not printed


async def run(text: str, names: dict[str, Any]) -> str:
    """Run a block in which ``await`` stands outside of functions; what it prints."""
    code = compile(text, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result
    return out.getvalue()


def test_the_page_names_what_is_public() -> None:
    text = PAGE.read_text()
    for name in (
        "Client",
        "ClientConfiguration",
        "Informers",
        "WorkQueue",
        "LeaderElector",
        "EventRecorder",
        "StatusError",
    ):
        assert name in kcp.client.__all__
        assert name in text
    for name in re.findall(r"`(\w+Error)`", text):
        assert name in kcp.client.__all__, name
