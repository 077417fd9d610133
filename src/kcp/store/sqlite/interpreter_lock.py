"""The interpreter lock, for which the thread that commits competes with the event loop and the threads of the HTTP server.

A thread that waits for the lock asks its holder for it only when no other thread has taken it for the switch interval
(`sys.setswitchinterval`). Under load, the threads of the HTTP server and the event loop pass the lock to and fro more than once
in a millisecond: a commit that has been synced then gets it by chance, after up to a second. So the interval is shorter while
writes are committed.
"""

from __future__ import annotations

import sys
import threading
from typing import Final

_INTERVAL: Final = 0.0001
"""Seconds. The event loop runs for longer than that at a time when it is busy."""
_lock: Final = threading.Lock()
_users = 0
_usual = 0.0


class ShortSwitchInterval:
    """Whether one store needs the short interval. It is in force for the process while any store does."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        """Shorten the interval, unless that has been done."""
        global _users, _usual  # noqa: PLW0603 - the interval is the process's
        if self._begun:
            return
        self._begun = True
        with _lock:
            if not _users:
                _usual = sys.getswitchinterval()
                sys.setswitchinterval(min(_usual, _INTERVAL))
            _users += 1

    def end(self) -> None:
        """Let the interval be what it was before, unless another store needs it."""
        global _users  # noqa: PLW0603
        if not self._begun:
            return
        self._begun = False
        with _lock:
            _users -= 1
            if not _users:
                sys.setswitchinterval(_usual)
