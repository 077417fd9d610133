"""Commands of ``kcp``, run to their end by a test that has an event loop of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from kcp.cli.main import main


async def kcp(*words: str | Path) -> Result:
    """Run a command in a thread: commands run event loops too."""
    return await asyncio.to_thread(CliRunner().invoke, main, list(map(str, words)))
