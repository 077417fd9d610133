"""Users are immutable and know that they are authenticated."""

from __future__ import annotations

import dataclasses

import pytest

from kcp.auth.users import ALL_AUTHENTICATED, User, authenticated


def test_an_authenticated_user_is_in_the_group_of_all_authenticated_once() -> None:
    assert authenticated("jane", groups=("devs",)).groups == ("devs", ALL_AUTHENTICATED)
    assert authenticated("jane", groups=(ALL_AUTHENTICATED, "devs")).groups == (ALL_AUTHENTICATED, "devs")


def test_a_user_cannot_be_changed() -> None:
    given = {"scopes": ["a"]}
    user = User("jane", extra=given)  # type: ignore[arg-type]
    given["scopes"].append("b")
    given["more"] = ["c"]
    assert dict(user.extra) == {"scopes": ("a",)}
    with pytest.raises(TypeError):
        user.extra["scopes"] = ("b",)  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        user.name = "root"  # type: ignore[misc]
