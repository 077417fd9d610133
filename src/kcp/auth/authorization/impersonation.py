"""The ``Impersonate-*`` request headers.

Follows the Kubernetes page "User impersonation". A request with any of these headers is served as the impersonated user or
refused; the headers are never ignored. The impersonator needs the verb ``impersonate`` on the user, on each group, on the
UID and on each extra value.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from kcp.api import errors
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, decided, forbidden
from kcp.auth.users import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, MASTERS, User
from kcp.logical_clusters import LogicalClusterName

_EXTRA: Final = b"impersonate-extra-"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_AUTHENTICATION: Final = "authentication.k8s.io"
_RESERVED_EXTRA: Final = "kcp.io"
_SERVICE_ACCOUNT_PARTS: Final = 4


async def impersonated(
    headers: list[tuple[bytes, bytes]], user: User, cluster: LogicalClusterName, authorizer: Authorizer
) -> User:
    """Return the user that a request is served as; ``user`` without such headers. Raises StatusError 400 or 403."""
    if not any(header.startswith(b"impersonate-") for header, _ in headers):
        return user
    name, uid, groups, extra = _read(headers)
    if not name:
        raise errors.bad_request("requested impersonation of groups, a UID or extra without impersonating a user name")
    await _check(user, _user_attributes(cluster, name), authorizer)
    for group in groups:
        attributes = AuthorizationAttributes(cluster, "impersonate", resource="groups", name=group)
        await _check(user, attributes, authorizer)
        if group == MASTERS and MASTERS not in user.groups:
            raise forbidden(user, attributes, "privileged group")
    for key, values in extra.items():
        await _check_extra(user, cluster, key, values, authorizer)
    if uid:
        attributes = AuthorizationAttributes(cluster, "impersonate", group=_AUTHENTICATION, resource="uids", name=uid)
        await _check(user, attributes, authorizer)
    return User(name, uid, _all_groups(name, groups), {key: tuple(values) for key, values in extra.items()})


def _read(headers: list[tuple[bytes, bytes]]) -> tuple[str, str, list[str], dict[str, list[str]]]:
    name = uid = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    for header, value in headers:
        if not header.startswith(b"impersonate-"):
            continue
        try:
            text = value.decode()
            if header == b"impersonate-user":
                name = text
            elif header == b"impersonate-uid":
                uid = text
            elif header == b"impersonate-group":
                groups.append(text)
            elif header.startswith(_EXTRA):
                key = unquote_to_bytes(header[len(_EXTRA) :]).decode().lower()
                extra.setdefault(key, []).append(text)
            else:
                raise errors.bad_request(f"unknown impersonation header {header.decode()}")
        except UnicodeDecodeError as error:
            raise errors.bad_request("impersonation headers must be UTF-8") from error
    return name, uid, groups, extra


def _user_attributes(cluster: LogicalClusterName, name: str) -> AuthorizationAttributes:
    parts = name.split(":")
    if name.startswith(_SERVICE_ACCOUNT) and len(parts) == _SERVICE_ACCOUNT_PARTS:
        return AuthorizationAttributes(
            cluster, "impersonate", resource="serviceaccounts", namespace=parts[2], name=parts[3]
        )
    return AuthorizationAttributes(cluster, "impersonate", resource="users", name=name)


async def _check_extra(
    user: User, cluster: LogicalClusterName, key: str, values: list[str], authorizer: Authorizer
) -> None:
    for value in values:
        attributes = AuthorizationAttributes(
            cluster, "impersonate", group=_AUTHENTICATION, resource="userextras", subresource=key, name=value
        )
        if key == _RESERVED_EXTRA or key.partition("/")[0].endswith(_RESERVED_EXTRA):
            raise forbidden(user, attributes, "the key is reserved for the server")
        await _check(user, attributes, authorizer)


async def _check(user: User, attributes: AuthorizationAttributes, authorizer: Authorizer) -> None:
    decision = await decided(authorizer.decide(user, attributes))
    if not decision.allowed:
        raise forbidden(user, attributes, decision.reason)


def _all_groups(name: str, groups: list[str]) -> tuple[str, ...]:
    """The named groups and those that Kubernetes adds: of service accounts, and authenticated or unauthenticated."""
    found = list(groups)
    parts = name.split(":")
    if not found and name.startswith(_SERVICE_ACCOUNT) and len(parts) == _SERVICE_ACCOUNT_PARTS:
        found += ["system:serviceaccounts", f"system:serviceaccounts:{parts[2]}"]
    default = ALL_UNAUTHENTICATED if name == ANONYMOUS.name else ALL_AUTHENTICATED
    if ALL_AUTHENTICATED not in found and ALL_UNAUTHENTICATED not in found:
        found.append(default)
    return tuple(found)
