"""Acting as somebody else: the ``Impersonate-*`` request headers.

Follows the Kubernetes page "User impersonation". A request that carries any of the headers is served as the impersonated
user or refused; the headers are never ignored. Whoever impersonates needs the verb ``impersonate`` on each part. Only
the groups and the extra keys that the impersonator was allowed to name are taken over.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

from kcp.api import errors
from kcp.auth.authorization.authorizers import Attributes, Authorizer, denied
from kcp.auth.users import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, MASTERS, User
from kcp.logical_clusters import LogicalClusterName

_EXTRA: Final = b"impersonate-extra-"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_AUTHENTICATION: Final = "authentication.k8s.io"
_RESERVED_EXTRA: Final = "kcp.io"
_SERVICE_ACCOUNT_PARTS: Final = 4


def impersonated(
    headers: list[tuple[bytes, bytes]], user: User, cluster: LogicalClusterName, authorizer: Authorizer
) -> User:
    """The user that a request with ``Impersonate-*`` headers is served as. Raises StatusError 400, 403 or 500."""
    name, uid, groups, extra = _read(headers)
    if not name:
        raise errors.internal_error("requested impersonation of groups, a UID or extra without a user")
    _check(user, _user_attributes(cluster, name), authorizer)
    for group in groups:
        _check(user, Attributes(cluster, "impersonate", resource="groups", name=group), authorizer)
        if group == MASTERS and MASTERS not in user.groups:
            raise denied(user, Attributes(cluster, "impersonate", resource="groups", name=group), "privileged group")
    for key, values in extra.items():
        _check_extra(user, cluster, key, values, authorizer)
    if uid:
        attributes = Attributes(cluster, "impersonate", group=_AUTHENTICATION, resource="uids", name=uid)
        _check(user, attributes, authorizer)
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


def _user_attributes(cluster: LogicalClusterName, name: str) -> Attributes:
    parts = name.split(":")
    if name.startswith(_SERVICE_ACCOUNT) and len(parts) == _SERVICE_ACCOUNT_PARTS:
        return Attributes(cluster, "impersonate", resource="serviceaccounts", namespace=parts[2], name=parts[3])
    return Attributes(cluster, "impersonate", resource="users", name=name)


def _check_extra(user: User, cluster: LogicalClusterName, key: str, values: list[str], authorizer: Authorizer) -> None:
    for value in values:
        attributes = Attributes(
            cluster, "impersonate", group=_AUTHENTICATION, resource="userextras", subresource=key, name=value
        )
        if key == _RESERVED_EXTRA or key.partition("/")[0].endswith(_RESERVED_EXTRA):
            raise denied(user, attributes, "the key is reserved for the server")
        _check(user, attributes, authorizer)


def _check(user: User, attributes: Attributes, authorizer: Authorizer) -> None:
    decision = authorizer.authorize(user, attributes)
    if not decision.allowed:
        raise denied(user, attributes, decision.reason)


def _all_groups(name: str, groups: list[str]) -> tuple[str, ...]:
    """The named groups, with those that Kubernetes adds: of service accounts, and authenticated or not."""
    found = list(groups)
    parts = name.split(":")
    if not found and name.startswith(_SERVICE_ACCOUNT) and len(parts) == _SERVICE_ACCOUNT_PARTS:
        found += ["system:serviceaccounts", f"system:serviceaccounts:{parts[2]}"]
    standing = ALL_UNAUTHENTICATED if name == ANONYMOUS.name else ALL_AUTHENTICATED
    if ALL_AUTHENTICATED not in found and ALL_UNAUTHENTICATED not in found:
        found.append(standing)
    return tuple(found)
