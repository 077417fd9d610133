"""Users, as authentication finds them and authorization, admission and audit see them.

Follows the Kubernetes page "Authenticating" (user name, UID, groups, extra). A user is immutable, because cached users are
shared by requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

ALL_AUTHENTICATED: Final = "system:authenticated"
ALL_UNAUTHENTICATED: Final = "system:unauthenticated"
MASTERS: Final = "system:masters"
"""Members may do everything; no rule can restrict them."""
MONITORING: Final = "system:monitoring"

CREDENTIAL_ID: Final = "authentication.kubernetes.io/credential-id"
"""The extra with the ID of the credential that a request was authenticated by."""

CLUSTER_NAME: Final = "authentication.kcp.io/cluster-name"
"""The extra with the logical cluster of a user whose credential is valid there only; another one may have a user of this name."""

_NO_EXTRA: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class User:
    """A name with its groups. ``extra`` is what an authenticator adds for authorizers that know it."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _NO_EXTRA, hash=False)

    def __post_init__(self) -> None:
        if self.extra is not _NO_EXTRA:
            frozen = {name: tuple(values) for name, values in self.extra.items()}
            object.__setattr__(self, "extra", MappingProxyType(frozen))


ANONYMOUS: Final = User("system:anonymous", groups=(ALL_UNAUTHENTICATED,))


def authenticated(
    name: str, uid: str = "", groups: tuple[str, ...] = (), extra: Mapping[str, Iterable[str]] = _NO_EXTRA
) -> User:
    """Return a user with a valid credential: ``system:authenticated`` is added to the groups.

    A front proxy or a webhook may have found that a request is anonymous, or say which of both groups the user is in.
    """
    stated = name == ANONYMOUS.name or ALL_AUTHENTICATED in groups or ALL_UNAUTHENTICATED in groups
    frozen = {key: tuple(values) for key, values in extra.items()} if extra else _NO_EXTRA
    return User(name, uid, groups if stated else (*groups, ALL_AUTHENTICATED), frozen)


def user_info(user: User) -> dict[str, Any]:
    """Return a user as authentication.k8s.io/v1 ``UserInfo``, as JSON data."""
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info
