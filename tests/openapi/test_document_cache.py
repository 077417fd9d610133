"""The bounded cache of encoded documents."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import NamedTuple

import pytest

from kcp.registry.documents.document_cache import DocumentCache


class Text(NamedTuple):
    content: str

    @property
    def size(self) -> int:
        return len(self.content)


def never() -> Text:
    raise AssertionError("the value is remembered")


def test_a_value_is_built_once() -> None:
    cache = DocumentCache(limit=10)
    first = cache.get("a", lambda: Text("12345"))
    assert cache.get("a", never) is first


def test_the_least_recently_used_value_goes_first() -> None:
    cache = DocumentCache(limit=10)
    for key in "abc":
        cache.get(key, lambda: Text("123"))
    cache.get("a", never)
    cache.get("d", lambda: Text("123"))
    assert cache.size == 9
    for key in "acd":
        cache.get(key, never)
    assert cache.get("b", lambda: Text("new")).content == "new"


def test_a_value_larger_than_the_bound_is_there_until_the_next_one() -> None:
    cache = DocumentCache(limit=3)
    cache.get("a", lambda: Text("12345"))
    assert cache.get("a", never).content == "12345"
    cache.get("b", lambda: Text("1"))
    assert cache.size == 1


def test_threads_that_build_at_once_agree_on_one_value() -> None:
    cache = DocumentCache(limit=100)
    together = Barrier(4)

    def build() -> Text:
        together.wait()
        return Text("".join(["x"] * 5))

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: cache.get("a", build), range(4)))
    assert all(value is found[0] for value in found)
    assert cache.size == 5


def test_a_value_that_cannot_be_built_is_not_remembered() -> None:
    cache = DocumentCache(limit=100)
    with pytest.raises(AssertionError, match="the value is remembered"):
        cache.get("a", never)
    assert cache.size == 0
    assert cache.get("a", lambda: Text("ok")).content == "ok"
