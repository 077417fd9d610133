"""authentication.k8s.io/v1 ``UserInfo``."""

from __future__ import annotations

from typing import Any

from kcp.auth.users import User


def user_info(user: User) -> dict[str, Any]:
    """A user as authentication.k8s.io/v1 ``UserInfo``."""
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info
