"""The webhook backend: events are posted as audit.k8s.io/v1 ``EventList`` to the server of ``--audit-webhook-config-file``.

Follows k8s.io/apiserver's webhook and buffered backends. In the mode ``batch`` a request never waits: a task collects events and
posts them together, at a limited rate; events are dropped when the buffer is full. In the other modes each event is posted alone,
and its request waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import Final

from kcp.outbound.errors import OutboundError
from kcp.outbound.owner import Outbound
from kcp.outbound.webhooks import Backoff, WebhookClient
from kcp.registry.verbs.large_work import run_large
from kcp.server.audit.backends import BUFFERED_BYTES, Loss, form_of
from kcp.server.audit.events import AuditEvent
from kcp.server.audit.metrics import AuditMetrics
from kcp.server.audit.options import BATCH, BLOCKING_STRICT, AuditOptions

PLUGIN: Final = "webhook"
_FLAG: Final = "--audit-webhook-config-file"
_TIMEOUT: Final = 30.0
"""Seconds for one attempt."""
_AT_A_TIME: Final = 8
"""Batches that are being sent at a time: a webhook that does not answer holds no more."""
_STOP_TIMEOUT: Final = 5.0
"""Seconds in which the events that wait at the end must be sent."""
_LIST: Final = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[%b]}'


class Throttle:
    """A token bucket: ``rate`` requests a second, and ``burst`` at once after a pause."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = time.monotonic()

    def delay(self) -> float:
        """Take a token; return the seconds until it is there."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._rate)


class WebhookBackend:
    """Posts events to one webhook."""

    def __init__(self, options: AuditOptions, metrics: AuditMetrics, outbound: Outbound) -> None:
        """``options.webhook_config_file`` is given. Raises DestinationError when it cannot be used."""
        assert options.webhook_config_file is not None
        backoff = Backoff(first=options.webhook_initial_backoff)
        self._client = WebhookClient.from_kubeconfig(outbound, options.webhook_config_file, _FLAG, backoff=backoff)
        self._options = options
        self._batches = options.webhook_mode == BATCH
        self._strict = options.webhook_mode == BLOCKING_STRICT
        enabled = options.webhook_truncate_enabled
        self._event_limit = options.webhook_truncate_max_event_size if enabled else 0
        self._body_limit = options.webhook_truncate_max_batch_size if enabled else 0
        self._throttle: Throttle | None = None
        if options.webhook_batch_throttle_enable:
            self._throttle = Throttle(options.webhook_batch_throttle_qps, options.webhook_batch_throttle_burst)
        self._loss = Loss(PLUGIN, metrics)
        self._events: deque[tuple[AuditEvent, int]] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._stopping = False
        self._sending: set[asyncio.Task[bool]] = set()
        self._free = asyncio.Semaphore(_AT_A_TIME)
        self._collecting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start collecting. The webhook need not be there yet."""
        if self._batches:
            self._collecting = asyncio.create_task(self._collect(), name="audit-webhook")

    def accept(self, event: AuditEvent) -> Awaitable[bool] | None:
        """Take an event."""
        if not self._batches:
            return self._start_sending([event])
        if len(self._events) >= self._options.webhook_batch_buffer_size or self._waiting_bytes >= BUFFERED_BYTES:
            self._loss.drop("the buffer is full")
            return None
        size = event.size
        self._events.append((event, size))
        self._waiting_bytes += size
        self._arrived.set()
        if len(self._events) >= self._options.webhook_batch_max_size:
            self._full.set()
        return None

    async def stop(self) -> None:
        """Send the events that wait, for some seconds; what is not sent then is lost."""
        self._stopping = True
        self._arrived.set()
        self._full.set()
        pending: set[asyncio.Task[bool] | asyncio.Task[None]] = {*self._sending}
        if self._collecting is not None:
            pending.add(self._collecting)
        if pending:
            _, pending = await asyncio.wait(pending, timeout=_STOP_TIMEOUT)
        for task in (*pending, *self._sending):
            task.cancel()
        if self._sending:
            await asyncio.wait(self._sending)
        if self._events:
            self._loss.fail("the server stops", len(self._events))

    async def _collect(self) -> None:
        """Send batches: when enough events wait for one, or the first of them has waited long enough."""
        while not self._stopping or self._events:
            await self._arrived.wait()
            if not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._options.webhook_batch_max_wait)
            if self._throttle is not None and not self._stopping:
                await asyncio.sleep(self._throttle.delay())
            await self._free.acquire()
            batch = self._take()
            if batch:
                self._start_sending(batch).add_done_callback(lambda _: self._free.release())
            else:
                self._free.release()
        if self._sending:
            await asyncio.wait(self._sending)

    def _take(self) -> list[AuditEvent]:
        events, most = self._events, self._options.webhook_batch_max_size
        batch = [events.popleft() for _ in range(min(len(events), most))]
        self._waiting_bytes -= sum(size for _, size in batch)
        if not events and not self._stopping:
            self._arrived.clear()
        if len(events) < most and not self._stopping:
            self._full.clear()
        return [event for event, _ in batch]

    def _start_sending(self, events: Sequence[AuditEvent]) -> asyncio.Task[bool]:
        task = asyncio.create_task(self._send(events))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        return task

    async def _send(self, events: Sequence[AuditEvent]) -> bool:
        """Post events. Returns whether the request that waits for them may go on."""
        try:
            bodies = await run_large(sum(event.size for event in events), self._bodies, events)
            for body in bodies:
                await self._client.post(body, _TIMEOUT)
        except OutboundError as error:
            self._loss.fail(str(error), len(events))
            return not self._strict
        except asyncio.CancelledError:
            self._loss.fail("the server stops", len(events))
            raise
        self._loss.succeed()
        return True

    def _bodies(self, events: Sequence[AuditEvent]) -> list[bytes]:
        """The lists of some events: one, or several where the size is limited."""
        lists: list[list[bytes]] = [[]]
        size = 0
        for event in events:
            encoded = form_of(event, self._event_limit)
            if encoded is None:
                self._loss.drop("an event is too large even without bodies")
                continue
            if self._body_limit and lists[-1] and size + len(encoded) > self._body_limit:
                lists.append([])
                size = 0
            lists[-1].append(encoded)
            size += len(encoded)
        return [_LIST % b",".join(items) for items in lists if items]
