"""The keys of service account tokens, for administrators: ``GET`` lists them, ``POST`` puts a new one in front.

They are the server's and not those of a logical cluster: only members of ``system:masters`` may see and rotate them, and not
below ``/clusters``.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import orjson

from kcp.api import errors, times
from kcp.api.kinds import GroupResource
from kcp.auth.service_accounts.key_ring import KeyRing, RotationError
from kcp.auth.users import MASTERS
from kcp.logical_clusters import DEFAULT
from kcp.server.requests.endpoints.document_responses import send_json
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.mounts import READ_METHODS, Mount
from kcp.server.requests.request_info import RequestInfo

KEYS_PATH: Final = "/service-account-keys"
DEFAULT_OVERLAP: Final = 24 * 3600
"""Seconds for which the tokens of older keys are accepted after a rotation."""
_LONGEST: Final = 10 * 365 * 24 * 3600
_NOBODY: Final = GroupResource("", "")


def service_account_keys_mount(keys: KeyRing) -> Mount:
    """Return the mount of the keys."""

    async def serve(exchange: Exchange, info: RequestInfo) -> None:
        if MASTERS not in exchange.user.groups or info.prefix or info.cluster != DEFAULT:
            raise errors.forbidden(_NOBODY, "", "the keys are for administrators of the server")
        if info.method == "POST":
            try:
                await keys.rotate(_overlap(info))
            except RotationError as error:
                raise errors.StatusError(409, "Conflict", str(error)) from error
        await send_json(exchange, orjson.dumps({"keys": _shown(keys)}))

    return Mount(KEYS_PATH, serve, methods=READ_METHODS | {"POST"}, index=lambda _: ())


def _overlap(info: RequestInfo) -> int:
    text = info.query.text("overlapSeconds")
    if not text:
        return DEFAULT_OVERLAP
    if not (text.isascii() and text.isdecimal()) or len(text) > 10 or int(text) > _LONGEST:
        raise errors.bad_request(f'overlapSeconds: Invalid value: "{text}": must be between 0 and {_LONGEST}')
    return int(text)


def _shown(keys: KeyRing) -> list[dict[str, Any]]:
    signing = keys.signing_key().id
    return [
        {
            "id": key.id,
            "algorithm": key.algorithm,
            "signs": key.id == signing,
            "until": None if key.until is None else times.whole_time(dt.datetime.fromtimestamp(key.until, dt.UTC)),
        }
        for key in keys.verifying_keys()
    ]
