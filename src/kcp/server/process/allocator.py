"""The C library's allocator: what a large request took goes back to the operating system.

glibc maps a large allocation by itself and unmaps it when it is freed. But each time it unmaps one, it raises the size from which
it does so, up to 32 MB (mallopt(3), ``M_MMAP_THRESHOLD``). From then on tables and buffers of megabytes come from the heap, which
keeps them when something small behind them is still in use. With a fixed size it does not.

The setting is the process's, so it is made only for a process that is nothing but a server.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""The parameters' numbers in malloc.h."""
_MAPPED_FROM: Final = 1 << 20
"""Bytes from which an allocation is mapped by itself. No request with a small body makes one of this size."""
_KEPT_ON_TOP: Final = 2 << 20
"""Free bytes at the end of the heap that it keeps: fewer would have it grow and shrink all the time."""


def return_large_allocations(mapped_from: int = _MAPPED_FROM) -> None:
    """Fix the size in bytes from which glibc maps allocations by themselves."""
    _set({_MMAP_THRESHOLD: mapped_from, _TRIM_THRESHOLD: _KEPT_ON_TOP})


def return_free_pages() -> None:
    """Return free pages of the heap to the operating system. Does nothing with another C library."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def use_one_arena() -> None:
    """Make all threads share one heap: glibc reserves 64 MB of address space for each, and makes one for each thread."""
    _set({_ARENA_MAX: 1})


def _set(parameters: Mapping[int, int]) -> None:
    """Set parameters of glibc's allocator. Does nothing with another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for number, value in parameters.items():
            mallopt(number, value)
