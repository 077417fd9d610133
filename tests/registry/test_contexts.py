"""The context of a request."""

from kcp.auth.users import User
from kcp.logical_clusters import DEFAULT
from kcp.registry.contexts import RequestContext


def test_a_warning_is_added_once() -> None:
    context = RequestContext(User("a"), DEFAULT)
    for text in ("b", "a", "b"):
        context.warn(text)
    assert context.warnings == ["b", "a"]


def test_warnings_are_limited_in_number_and_length() -> None:
    context = RequestContext(User("a"), DEFAULT)
    for index in range(5_000):
        context.warn(f"{index} {'x' * 10_000}")
    assert len(context.warnings) == 1_000
    assert max(map(len, context.warnings)) < 8_400
