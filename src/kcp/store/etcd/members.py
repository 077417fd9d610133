"""The status of etcd's members: the sizes of their databases, and raised alarms."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterable
from typing import Any, Final

from kcp.store.etcd import messages
from kcp.store.etcd.client import EtcdClient, RefusedError, UnknownOutcomeError
from kcp.store.figures import Labelled

logger: Final = logging.getLogger(__name__)

_ALARMS: Final = {
    "NOSPACE": "its members refuse writes, since a database has reached --quota-backend-bytes",
    "CORRUPT": "the data of its members differ, and they refuse everything",
}
"""etcd's alarms, and what they mean."""
_ALARM: Final = re.compile(r"alarm:\s*(\w+)")
_POLL_SECONDS: Final = 10.0
_POLL_ALARMED_SECONDS: Final = 2.0
_CALL_SECONDS: Final = 3.0
_SIZES: Final = {"etcd_size": "dbSize", "etcd_in_use": "dbSizeInUse", "etcd_quota": "dbSizeQuota"}


class Members:
    """Polls the status of each endpoint while `run` runs."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client
        self._statuses: dict[str, Any] = {}
        self._alarms: frozenset[str] = frozenset()
        self._refused = ""
        self._poll_requested = asyncio.Event()

    def poll_now(self) -> None:
        """Poll without waiting for the next interval."""
        self._poll_requested.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._poll_requested.clear()
            answers = await asyncio.gather(*(self._status(number) for number in range(len(self._client.endpoints))))
            self._statuses = {
                url: answer for url, answer in zip(self._client.endpoints, answers, strict=True) if answer is not None
            }
            if self._statuses:
                self._report(_alarms(self._statuses.values()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_ALARMED_SECONDS if self._alarms else _POLL_SECONDS):
                    await self._poll_requested.wait()

    def figures(self) -> Labelled:
        """Return sizes by endpoint, and alarms; empty until an endpoint has answered."""
        if not self._statuses:
            return {}
        found: dict[str, dict[tuple[str, ...], float]] = {
            name: {(url,): float(size) for url, status in self._statuses.items() if (size := getattr(status, field))}
            for name, field in _SIZES.items()
        }
        found["etcd_alarm"] = {(name,): float(name in self._alarms) for name in sorted(self._alarms | _ALARMS.keys())}
        return found

    async def _status(self, number: int) -> Any:
        try:
            return await self._client.once("Status", messages.make("StatusRequest"), _CALL_SECONDS, endpoint=number)
        except UnknownOutcomeError:
            return None  # calls that need this member report the failure
        except RefusedError as error:
            if not self._refused:
                logger.info("etcd does not tell this user its size and alarms: %s", error)
            self._refused = str(error)
            return None

    def _report(self, alarms: frozenset[str]) -> None:
        for name in sorted(alarms - self._alarms):
            logger.warning("etcd has raised the alarm %s: %s", name, _ALARMS.get(name, "unknown here"))
        for name in sorted(self._alarms - alarms):
            logger.warning("etcd's alarm %s is disarmed", name)
        self._alarms = alarms


def _alarms(statuses: Iterable[Any]) -> frozenset[str]:
    return frozenset(name for status in statuses for error in status.errors for name in _ALARM.findall(error))
