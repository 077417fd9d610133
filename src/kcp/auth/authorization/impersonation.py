"""The ``Impersonate-*`` request headers.

Follows the Kubernetes page "User impersonation". A request with any of these headers is served as the impersonated user or
refused; the headers are never ignored. What the impersonator needs for it is in `impersonation_modes`.

No permission of a logical cluster reaches beyond it: members of ``system:masters`` may do everything in every logical cluster, so
only they may impersonate that group, and extra attributes with keys of the server may not be impersonated at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from kcp.api import errors
from kcp.auth.authorization import impersonation_modes
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, forbidden
from kcp.auth.authorization.impersonation_modes import Requested, masters_refusal
from kcp.auth.users import MASTERS, User

_FAMILY: Final = b"impersonate-"
_EXTRA: Final = b"impersonate-extra-"
_AUTHENTICATION: Final = "authentication.k8s.io"
_RESERVED_EXTRA: Final = "kcp.io"


async def impersonated(
    headers: Sequence[tuple[bytes, bytes]], user: User, request: AuthorizationAttributes, authorizer: Authorizer
) -> User:
    """Return the user that a request is served as; ``user`` without such headers. Raises StatusError 400 or 403."""
    if not any(header.startswith(_FAMILY) for header, _ in headers):
        return user
    requested = _read(headers)
    if not requested.name:
        raise errors.bad_request(
            "requested impersonation of groups, a UID or extra attributes without impersonating a user name"
        )
    if MASTERS in requested.groups and MASTERS not in user.groups:
        attributes = AuthorizationAttributes(request.cluster, "impersonate", resource="groups", name=MASTERS)
        raise masters_refusal(user, attributes)
    for key in requested.extra:
        if f".{key.partition('/')[0].lower()}".endswith(f".{_RESERVED_EXTRA}"):
            attributes = AuthorizationAttributes(
                request.cluster, "impersonate", group=_AUTHENTICATION, resource="userextras", subresource=key
            )
            raise forbidden(user, attributes, "the key is reserved for the server")
    return await impersonation_modes.authorize(requested, user, request, authorizer)


def _read(headers: Sequence[tuple[bytes, bytes]]) -> Requested:
    """Read the headers. Of a repeated name or UID the first counts. Raises StatusError 400."""
    names: list[str] = []
    uids: list[str] = []
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for header, value in headers:
        if not header.startswith(_FAMILY):
            continue
        try:
            text = value.decode()
            if header == b"impersonate-user":
                names.append(text)
            elif header == b"impersonate-uid":
                uids.append(text)
            elif header == b"impersonate-group":
                groups.append(text)
            elif header.startswith(_EXTRA):
                key = unquote_to_bytes(header[len(_EXTRA) :].lower()).decode()
                extra.setdefault(key, []).append(text)
            else:
                raise errors.bad_request(f"unknown impersonation header {header.decode()}")
        except UnicodeDecodeError as error:
            raise errors.bad_request("impersonation headers must be UTF-8") from error
    frozen = {key: tuple(values) for key, values in extra.items()}
    return Requested(names[0] if names else "", uids[0] if uids else "", tuple(groups), frozen)
