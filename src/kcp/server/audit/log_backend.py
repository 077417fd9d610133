"""The log backend: events as JSON lines in a file or on the standard output, written by a thread of its own.

The thread writes all events that wait as one piece. In the mode ``batch`` a request never waits, and events are dropped when the
buffer is full; in the other modes it waits until its event is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from kcp.server.audit.backends import BUFFERED_BYTES, Loss, form_of
from kcp.server.audit.events import AuditEvent
from kcp.server.audit.log_file import LogFile
from kcp.server.audit.metrics import AuditMetrics
from kcp.server.audit.options import BATCH, BLOCKING_STRICT, MEGABYTE, STANDARD_OUTPUT, AuditOptionError, AuditOptions

PLUGIN: Final = "log"
_AT_ONCE: Final = 1024
"""Events that are written as one piece at most."""
_GATHER: Final = 0.01
"""Seconds for which events are gathered in the mode batch: waking the thread takes longer than writing."""
_STOP_TIMEOUT: Final = 5.0
"""Seconds in which the events that wait at the end must be written: a pipe may have no reader."""

_Item = tuple[AuditEvent, int, "asyncio.Future[bool] | None"]
"""An event, its size when it was accepted, and the future of a request that waits."""


class LogBackend:
    """Writes events to one file."""

    def __init__(self, options: AuditOptions, metrics: AuditMetrics) -> None:
        """``options.log_path`` is given."""
        assert options.log_path is not None
        self._target = options.log_path
        path: Path | None = None if options.log_path == STANDARD_OUTPUT else options.log_path
        self._file = LogFile(
            path,
            max_bytes=(options.log_maxsize or 100) * MEGABYTE,
            max_age_days=options.log_maxage,
            max_backups=options.log_maxbackup,
            compress=options.log_compress,
        )
        self._blocking = options.log_mode != BATCH
        self._strict = options.log_mode == BLOCKING_STRICT
        self._most = options.log_batch_buffer_size
        self._limit = options.log_truncate_max_event_size if options.log_truncate_enabled else 0
        self._loss = Loss(PLUGIN, metrics)
        self._items: deque[_Item] = deque()
        self._accepted_bytes = 0
        self._written_bytes = 0
        """Counted by the event loop, and by the thread: their difference is what waits."""
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._idle = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="audit-log", daemon=True)

    async def start(self) -> None:
        """Open the file and start the thread. Raises AuditOptionError."""
        self._loop = asyncio.get_running_loop()
        try:
            self._file.open()
        except OSError as error:
            why = error.strerror or str(error)
            raise AuditOptionError(f"--audit-log-path: cannot write to {self._target}: {why}") from error
        self._thread.start()

    def accept(self, event: AuditEvent) -> Awaitable[bool] | None:
        """Take an event."""
        written: asyncio.Future[bool] | None = None
        if self._blocking:
            written = self._loop.create_future()
        elif len(self._items) >= self._most or self._accepted_bytes - self._written_bytes >= BUFFERED_BYTES:
            self._loss.drop("the buffer is full")
            return None
        size = event.size
        self._accepted_bytes += size
        self._items.append((event, size, written))
        if self._idle:
            self._idle = False
            self._wake.put(None)
        return written

    async def stop(self) -> None:
        """Write the events that wait, and close the file."""
        self._stopping = True
        self._wake.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _STOP_TIMEOUT)

    def _run(self) -> None:
        items = self._items
        while items or not self._stopping:
            self._idle = True
            if not items:  # whoever appends after this has seen that the thread is idle, and wakes it
                self._wake.get()
                if not self._blocking and not self._stopping:
                    time.sleep(_GATHER)  # other events arrive, and are written with this one
            self._idle = False
            self._write([items.popleft() for _ in range(min(len(items), _AT_ONCE))])
        self._file.finish()

    def _write(self, items: Sequence[_Item]) -> None:
        """Write events; tell the requests that wait for them."""
        if not items:
            return
        written = True
        try:
            if self._limit:
                lines = [line for event, _, _ in items if (line := self._line_of(event)) is not None]
            else:
                lines = [b"%b\n" % event.encode() for event, _, _ in items]
            self._file.write(lines)
        except OSError as error:
            written = False
            self._loss.fail(f"cannot write to {self._target}: {error.strerror or error}", len(items))
        except Exception as error:  # the thread must go on, whatever is in an event
            written = False
            self._loss.fail(f"{type(error).__name__} while encoding events", len(items))
        else:
            self._loss.succeed()
        self._written_bytes += sum(size for _, size, _ in items)
        if self._blocking:
            with contextlib.suppress(RuntimeError):  # the event loop has ended before the thread
                self._loop.call_soon_threadsafe(self._settle, items, written)

    def _line_of(self, event: AuditEvent) -> bytes | None:
        line = form_of(event, self._limit)
        if line is None:
            self._loss.drop("an event is too large even without bodies")
            return None
        return b"%b\n" % line

    def _settle(self, items: Sequence[_Item], written: bool) -> None:
        for _, _, waiting in items:
            if waiting is not None and not waiting.done():
                waiting.set_result(written or not self._strict)
