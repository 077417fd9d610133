"""Users, as authentication finds them and authorization, admission and audit see them.

Follows the Kubernetes page "Authenticating" (user name, UID, groups, extra). A user is immutable, so that one request can
never see another's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

ALL_AUTHENTICATED: Final = "system:authenticated"
ALL_UNAUTHENTICATED: Final = "system:unauthenticated"
MASTERS: Final = "system:masters"
"""Members may do everything; no rule can take that away."""
MONITORING: Final = "system:monitoring"

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


def authenticated(name: str, uid: str = "", groups: tuple[str, ...] = ()) -> User:
    """A user whose credential was good: a member of ``system:authenticated`` beside its own groups."""
    return User(name, uid, groups if ALL_AUTHENTICATED in groups else (*groups, ALL_AUTHENTICATED))
