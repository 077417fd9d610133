"""Commands whose wait ends without success, and says what they waited for."""

from __future__ import annotations

from pathlib import Path

from click.testing import Result

from tests.support.commands import kcp
from tests.support.waiting import PATIENCE


async def out_of_time(*words: str | Path, why: str) -> Result:
    """Run a command that waits for what does not come, with more time until it has had enough to find out why."""
    seconds = 1
    while True:
        done = await kcp(*words, "--timeout", f"{seconds}s")
        assert done.exit_code == 1, done.output
        if why in done.stderr:
            return done
        assert seconds < PATIENCE, done.output
        seconds *= 2
