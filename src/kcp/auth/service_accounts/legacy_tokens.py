"""The use of tokens in Secrets: recorded in a label of the Secret, and refused where a label says that it has ended.

Follows kube-apiserver's legacy validator and KEP-2799: ``kubernetes.io/legacy-token-last-used`` has the day of the last use,
and a Secret with ``kubernetes.io/legacy-token-invalid-since`` has no valid token. kube-controller-manager sets the latter on
unused Secrets that old clusters generated for accounts; there are none of these here.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kcp.api.errors import StatusError
from kcp.auth.service_accounts.bound_objects import BoundObjects
from kcp.auth.service_accounts.claims import Account, ClaimsError
from kcp.auth.users import ALL_AUTHENTICATED, MASTERS, User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import Target
from kcp.store.contract import StoreUnavailableError

LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE: Final = "kubernetes.io/legacy-token-invalid-since"
_SERVER: Final = User(name="system:apiserver", groups=(MASTERS, ALL_AUTHENTICATED))
_MOST_WAITING: Final = 4096
"""Secrets whose label waits to be written; the use of further ones is recorded another time."""

logger: Final = logging.getLogger("kcp.server")

Object = Mapping[str, Any]


class _Secret(NamedTuple):
    """A Secret with a token that was used."""

    cluster: LogicalClusterName
    namespace: str
    name: str
    uid: str


def _labels(secret: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = secret["metadata"].get("labels") or {}
    return found


def check_valid(secret: Object, account: Account) -> None:
    """Check that no label says that the token of a Secret has ended. Raises ClaimsError."""
    if _labels(secret).get(INVALID_SINCE):
        meta = secret["metadata"]
        raise ClaimsError(
            f"the token in secret {meta['namespace']}/{meta['name']} for service account {account.namespace}/{account.name} has "
            "been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
            f"'{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
        )


def end_of_day(now: float) -> float:
    """The Unix time of the next midnight (UTC), at which a use is recorded again."""
    return (now // 86_400 + 1) * 86_400


class LegacyTokenUses:
    """Writes the day of the last use to the Secrets of tokens, at most once a day for each."""

    def __init__(self, objects: BoundObjects) -> None:
        self._objects = objects
        self._waiting: dict[_Secret, None] = {}
        self._wake = asyncio.Event()

    def note(self, secret: Object, cluster: LogicalClusterName, now: float) -> None:
        """Note that a token was used, unless its Secret says so already."""
        today = dt.datetime.fromtimestamp(now, dt.UTC).date()
        tomorrow = today + dt.timedelta(days=1)  # the clock of another server
        if _labels(secret).get(LAST_USED) in (today.isoformat(), tomorrow.isoformat()):
            return
        if len(self._waiting) < _MOST_WAITING:
            meta = secret["metadata"]
            self._waiting[_Secret(cluster, meta["namespace"], meta["name"], meta["uid"])] = None
            self._wake.set()

    async def run(self) -> None:
        """Write the labels, until cancelled."""
        while True:
            await self._wake.wait()
            while self._waiting:
                secret = next(iter(self._waiting))
                del self._waiting[secret]
                try:
                    await self._write(secret)
                except (StatusError, StoreUnavailableError) as error:  # the next use is noted again
                    logger.debug("cannot record the use of a token of %s/%s: %s", secret.namespace, secret.name, error)
            self._wake.clear()

    async def _write(self, secret: _Secret) -> None:
        today = dt.datetime.now(dt.UTC).date().isoformat()

        def change(old: dict[str, Any]) -> dict[str, Any]:
            meta = old["metadata"]
            if meta["uid"] != secret.uid:
                return old
            return {**old, "metadata": {**meta, "labels": {**_labels(old), LAST_USED: today}}}

        registry = self._objects.registry
        context = RequestContext(_SERVER, secret.cluster, field_manager="kube-apiserver", field_validation="Ignore")
        target = Target(registry.catalog.builtin("", "v1", "secrets"), secret.namespace, secret.name)
        await registry.change(context, target, change)
