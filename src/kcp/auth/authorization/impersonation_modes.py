"""Whom a user may impersonate, by Kubernetes' modes of impersonation (KEP-5284).

Follows k8s.io/apiserver's ``pkg/endpoints/filters/impersonation``. A constrained mode needs two kinds of permission: the verb
``impersonate:<mode>`` on each part of the wanted user, and ``impersonate-on:<mode>:<verb>`` on what the request asks for. The
legacy mode needs the verb ``impersonate`` on each part and allows every request. The modes are tried in order; when none
allows the impersonation, the first refusal is the answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from kcp.api import errors, names
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, decided, forbidden
from kcp.auth.users import ALL_AUTHENTICATED, ALL_UNAUTHENTICATED, ANONYMOUS, MASTERS, User

_AUTHENTICATION: Final = "authentication.k8s.io"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_ALL_ACCOUNTS: Final = "system:serviceaccounts"
_NODE: Final = "system:node:"
_NODES: Final = "system:nodes"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_ASSOCIATED_KEYS: Final = "authentication.kubernetes.io/associated-node-keys"
_MANY: Final = 4
"""With so many groups or values, a permission for all of them is looked for first."""
_CHECKS_AT_ONCE: Final = 50
_HTTP_PATH: Final = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


class Requested(NamedTuple):
    """The user that a request asks to be served as, exactly as its headers say."""

    name: str
    uid: str
    groups: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]]

    @property
    def is_name_only(self) -> bool:
        """Whether only a name is requested."""
        return not self.uid and not self.groups and not self.extra


class _Account(NamedTuple):
    namespace: str
    name: str


def _account_of(name: str) -> _Account | None:
    """Return the service account of a user name; None for other users."""
    if not name.startswith(_SERVICE_ACCOUNT):
        return None
    namespace, colon, account = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if not colon or names.is_dns1123_label(namespace) or names.is_dns1123_subdomain(account):
        return None
    return _Account(namespace, account)


def _node_of(name: str) -> str:
    """Return the node of a user name; empty for other users."""
    node = name.removeprefix(_NODE) if name.startswith(_NODE) else ""
    return "" if not node or names.is_dns1123_subdomain(node) else node


def _is_own_node(requested: Requested, user: User) -> bool:
    node = _node_of(requested.name)
    is_account = _account_of(user.name) is not None
    return requested.is_name_only and bool(node) and is_account and user.extra.get(_NODE_NAME) == (node,)


def _is_node(requested: Requested, user: User) -> bool:  # noqa: ARG001 - the contract of a mode
    return requested.is_name_only and bool(_node_of(requested.name))


def _is_account(requested: Requested, user: User) -> bool:  # noqa: ARG001 - the contract of a mode
    return requested.is_name_only and _account_of(requested.name) is not None


def _is_other(requested: Requested, user: User) -> bool:  # noqa: ARG001 - the contract of a mode
    return not _node_of(requested.name) and _account_of(requested.name) is None


@dataclass(frozen=True, slots=True)
class _Mode:
    """A mode with its suffix of verbs; empty is the legacy mode. ``applies`` says for which users it is meant."""

    suffix: str
    applies: Callable[[Requested, User], bool]

    @property
    def verb(self) -> str:
        return f"impersonate:{self.suffix}" if self.suffix else "impersonate"


_ASSOCIATED_NODE: Final = _Mode("associated-node", _is_own_node)
_LEGACY: Final = _Mode("", lambda requested, user: True)  # noqa: ARG005 - the contract of a mode
_MODES: Final = (
    _ASSOCIATED_NODE,
    _Mode("arbitrary-node", _is_node),
    _Mode("serviceaccount", _is_account),
    _Mode("user-info", _is_other),
    _LEGACY,
)


async def authorize(requested: Requested, user: User, request: AuthorizationAttributes, authorizer: Authorizer) -> User:
    """Return the user that the request is served as. Raises StatusError 403."""
    refusal: errors.StatusError | None = None
    for mode in _MODES:
        if not mode.applies(requested, user):
            continue
        try:
            if mode.suffix:
                verb = f"impersonate-on:{mode.suffix}:{request.verb}"
                await _check(authorizer, _asking(mode, user), replace(request, verb=verb))
            await _Checks(mode, _asking(mode, user), request, authorizer).check(requested)
        except errors.StatusError as error:
            refusal = refusal or error
            continue
        return _served_as(requested, mode)
    assert refusal is not None
    raise refusal


def _asking(mode: _Mode, user: User) -> User:
    """Return the user whose permissions count. A node's agent has them for each node that it runs on, in all of its Pods."""
    if mode is not _ASSOCIATED_NODE:
        return user
    return User(user.name, user.uid, user.groups, {_ASSOCIATED_KEYS: tuple(sorted(user.extra))})


async def _yield_after(number: int) -> None:
    """Let other requests run after some of the checks of a long list."""
    if number % _CHECKS_AT_ONCE == _CHECKS_AT_ONCE - 1:
        await asyncio.sleep(0)


async def _check(authorizer: Authorizer, user: User, attributes: AuthorizationAttributes) -> None:
    decision = await decided(authorizer.decide(user, attributes))
    if not decision.allowed:
        raise forbidden(user, attributes, decision.reason)


@dataclass(frozen=True, slots=True)
class _Checks:
    """The checks of one mode. Each raises StatusError 403."""

    mode: _Mode
    user: User
    request: AuthorizationAttributes
    authorizer: Authorizer

    async def check(self, requested: Requested) -> None:
        """Check each part of the wanted user."""
        await self._check_name(requested.name)
        if requested.uid:
            await _check(self.authorizer, self.user, self._attributes("uids", requested.uid, _AUTHENTICATION))
        await self._check_groups(requested.groups)
        await self._check_extra(requested.extra)

    def _attributes(self, resource: str, name: str, group: str | None = None) -> AuthorizationAttributes:
        if group is None:
            group = _AUTHENTICATION if self.mode.suffix else ""
        return AuthorizationAttributes(
            self.request.cluster, self.mode.verb, group=group, version="v1", resource=resource, name=name
        )

    async def _check_name(self, name: str) -> None:
        attributes = self._attributes("users", name)
        if self.mode.suffix and (node := _node_of(name)):
            shown = "*" if self.mode is _ASSOCIATED_NODE else node
            attributes = self._attributes("nodes", shown)
        elif (account := _account_of(name)) is not None:
            attributes = replace(self._attributes("serviceaccounts", account.name), namespace=account.namespace)
        await _check(self.authorizer, self.user, attributes)

    async def _is_allowed(self, attributes: AuthorizationAttributes) -> bool:
        return (await decided(self.authorizer.decide(self.user, attributes))).allowed

    async def _check_groups(self, groups: Sequence[str]) -> None:
        if self.mode.suffix:
            if "" in groups:
                why = "impersonating the empty string group is not allowed"
                raise forbidden(self.user, self._attributes("groups", ""), why)
            if MASTERS in groups:
                raise masters_refusal(self.user, self._attributes("groups", MASTERS))
            if len(groups) >= _MANY and await self._is_allowed(self._attributes("groups", "*")):
                return
        for number, group in enumerate(groups):
            await _check(self.authorizer, self.user, self._attributes("groups", group))
            await _yield_after(number)

    async def _check_extra(self, extra: Mapping[str, tuple[str, ...]]) -> None:
        if self.mode.suffix and extra:
            if problem := _problem_of(extra):
                raise forbidden(self.user, self._extra_attributes("", ""), problem)
            is_large = len(extra) >= _MANY or sum(map(len, extra.values())) >= _MANY
            if is_large and await self._is_allowed(self._extra_attributes("*", "*")):
                return
        pairs = ((key, value) for key, values in extra.items() for value in values)
        for number, (key, value) in enumerate(pairs):
            await _check(self.authorizer, self.user, self._extra_attributes(key, value))
            await _yield_after(number)

    def _extra_attributes(self, key: str, value: str) -> AuthorizationAttributes:
        return replace(self._attributes("userextras", value, _AUTHENTICATION), subresource=key)


def masters_refusal(user: User, attributes: AuthorizationAttributes) -> errors.StatusError:
    """Return the 403 of a user who asks to be a member of ``system:masters``."""
    return forbidden(user, attributes, f"impersonating the {MASTERS} group is not allowed")


def _problem_of(extra: Mapping[str, tuple[str, ...]]) -> str:
    """Return why extra attributes may not be impersonated in a constrained mode, whatever the permissions."""
    for key, values in extra.items():
        domain, slash, path = key.partition("/")
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        if not slash or names.is_dns1123_subdomain(domain) or not _HTTP_PATH.fullmatch(path):
            return f'impersonating an invalid key in extra is not allowed: "{key}" must be a domain-prefixed path'
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _served_as(requested: Requested, mode: _Mode) -> User:
    """Return the user with the groups that Kubernetes adds."""
    groups = list(requested.groups)
    if not groups and (account := _account_of(requested.name)) is not None:
        groups = [_ALL_ACCOUNTS, f"{_ALL_ACCOUNTS}:{account.namespace}"]
    if mode.suffix and _node_of(requested.name):
        groups = [_NODES]
    if requested.name == ANONYMOUS.name:
        added = ALL_UNAUTHENTICATED
    else:
        added = "" if ALL_UNAUTHENTICATED in groups else ALL_AUTHENTICATED
    if added and added not in groups:
        groups.append(added)
    return User(requested.name, requested.uid, tuple(groups), requested.extra)
