"""Free pages of the heap, which go back to the operating system after work.

What many requests at a time have taken is free afterwards, in between what is kept. glibc returns only what is free at the end
of its heap.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from kcp.server.process.allocator import return_free_pages

_INTERVAL: Final = 30.0
"""Seconds between two checks of the processor time that the process has used."""
_WORK: Final = 0.1
"""The part of a processor from which a process works."""


async def return_free_pages_after_work() -> None:
    """Return free pages whenever the process has worked and has paused for a while, until cancelled."""
    worked, used = True, time.process_time()  # its start
    while True:
        await asyncio.sleep(_INTERVAL)
        used, before = time.process_time(), used
        works = used - before >= _WORK * _INTERVAL
        if worked and not works:
            return_free_pages()
        worked = works
