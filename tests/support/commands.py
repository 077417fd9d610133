"""Runs commands of ``kcp`` to their end in tests that have an event loop of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from kcp.cli.main import main


async def kcp(*words: str | Path) -> Result:
    """Run a command in a thread: commands run event loops too."""
    return await asyncio.to_thread(CliRunner().invoke, main, list(map(str, words)))
