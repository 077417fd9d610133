"""What etcd's members say of themselves: how large their databases are, and the alarms that they have raised."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterable
from typing import Any, Final

from kcp.store.etcd import messages
from kcp.store.etcd.client import Client, RefusedError, UnknownOutcomeError

log: Final = logging.getLogger(__name__)

Labelled = dict[str, dict[tuple[str, ...], float]]
"""Figures by name, and by the values of their labels."""

_ALARMS: Final = {
    "NOSPACE": "its members refuse writes, since a database has reached --quota-backend-bytes",
    "CORRUPT": "its members hold different things, and refuse everything",
}
"""The alarms that etcd knows, and what they say."""
_ALARM: Final = re.compile(r"alarm:\s*(\w+)")
_AGAIN_SECONDS: Final = 10.0
_AGAIN_ALARMED_SECONDS: Final = 2.0
_CALL_SECONDS: Final = 3.0
_SIZES: Final = {"etcd_size": "dbSize", "etcd_in_use": "dbSizeInUse", "etcd_quota": "dbSizeQuota"}


class Members:
    """Asks each endpoint for its status, as long as `run` runs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._statuses: dict[str, Any] = {}
        self._alarms: frozenset[str] = frozenset()
        self._refused = ""
        self._wanted = asyncio.Event()

    def look(self) -> None:
        """Ask now: there is reason to think that something has changed."""
        self._wanted.set()

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            self._wanted.clear()
            answers = await asyncio.gather(*(self._ask(number) for number in range(len(self._client.endpoints))))
            self._statuses = {
                url: answer for url, answer in zip(self._client.endpoints, answers, strict=True) if answer is not None
            }
            if self._statuses:
                self._note(_alarms(self._statuses.values()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_ALARMED_SECONDS if self._alarms else _AGAIN_SECONDS):
                    await self._wanted.wait()

    def figures(self) -> Labelled:
        """The sizes by endpoint, of those that have answered, and which alarms are raised; nothing where nobody has answered."""
        if not self._statuses:
            return {}
        found: Labelled = {
            name: {(url,): float(size) for url, status in self._statuses.items() if (size := getattr(status, field))}
            for name, field in _SIZES.items()
        }
        found["etcd_alarm"] = {(name,): float(name in self._alarms) for name in sorted(self._alarms | _ALARMS.keys())}
        return found

    async def _ask(self, number: int) -> Any:
        try:
            return await self._client.once("Status", messages.make("StatusRequest"), _CALL_SECONDS, endpoint=number)
        except UnknownOutcomeError:
            return None  # whoever needs this member will say so
        except RefusedError as error:
            if not self._refused:
                log.info("etcd does not tell this user its size and alarms: %s", error)
            self._refused = str(error)
            return None

    def _note(self, alarms: frozenset[str]) -> None:
        for name in sorted(alarms - self._alarms):
            log.warning("etcd has raised the alarm %s: %s", name, _ALARMS.get(name, "unknown here"))
        for name in sorted(self._alarms - alarms):
            log.warning("etcd's alarm %s is over", name)
        self._alarms = alarms


def _alarms(statuses: Iterable[Any]) -> frozenset[str]:
    return frozenset(name for status in statuses for error in status.errors for name in _ALARM.findall(error))
