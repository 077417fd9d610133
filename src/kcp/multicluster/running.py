"""Running controllers: on one of several candidates, and again after a failure."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, NoReturn

from kcp.client import Client, ClientConfiguration, ClientError, LeaderElector, StatusError
from kcp.work_queues.queues import is_cancelled

LEASE_NAMESPACE: Final = "kube-system"
"""The namespace of the Leases of controllers."""
FIRST_DELAY: Final = 0.5
LAST_DELAY: Final = 30.0

logger = logging.getLogger(__name__)

Failed = Callable[[Exception | None, float], None]
"""Called with the error of work that has failed, or None if it has ended, and the seconds until it begins again."""


def log_failure(what: str) -> Failed:
    """Return what logs that something begins again. Responses and failed requests have no traceback."""

    def failed(error: Exception | None, delay: float) -> None:
        expected = error is None or isinstance(error, (ClientError, StatusError))
        message = "%s has ended, and begins again in %.1f s%s"
        logger.warning(message, what, delay, f": {error}" if error else "", exc_info=None if expected else error)

    return failed


async def run_again(
    work: Callable[[], Awaitable[None]],
    failed: Failed,
    *,
    final: tuple[type[Exception], ...] = (),
    first_delay: float = FIRST_DELAY,
    last_delay: float = LAST_DELAY,
) -> NoReturn:
    """Run work until cancelled, again whenever it ends or fails, after a delay that doubles until the work has run for longer.

    Raises the ``final`` errors of the work.
    """
    loop, delay = asyncio.get_running_loop(), first_delay
    while True:
        started, error = loop.time(), None
        try:
            await work()
        except final:
            raise
        except Exception as caught:
            error = caught
        if is_cancelled():
            raise asyncio.CancelledError  # it came while the work failed by itself, which may hide it
        if loop.time() - started > last_delay:
            delay = first_delay
        failed(error, delay)
        await asyncio.sleep(delay)
        delay = min(2 * delay, last_delay)


async def run_controller(
    configuration: ClientConfiguration,
    lease: str,
    running: Callable[[Client], AbstractAsyncContextManager[None]],
    *,
    leader_elect: bool,
) -> NoReturn:
    """Run a controller until cancelled, again after a failure or when the Lease is lost.

    ``running`` returns the context manager in which the controller runs. With ``leader_elect``, it is entered only while this
    process holds the Lease in the logical cluster of the configuration. The client has no limit on its rate: the workers of the
    controller's queues bound the requests in flight.
    """

    async def once() -> None:
        async with Client(dataclasses.replace(configuration, qps=0.0)) as client:

            async def lead() -> None:
                async with running(client):
                    logger.info("the controller %s runs", lease)
                    await asyncio.get_running_loop().create_future()  # until cancelled

            if leader_elect:
                identity = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
                await LeaderElector(client, lease, identity, namespace=LEASE_NAMESPACE).run(lead)
            else:
                await lead()

    await run_again(once, log_failure(f"the controller {lease}"))
