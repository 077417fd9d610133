"""Duplicate keys of JSON and YAML bodies are reported by their paths; the number and length of reports are limited."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import documents, duplicate_keys

keys = st.text(alphabet='ab"\\\n:é', max_size=2)
members = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(alphabet='ab"\\:,{}[] ', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner), max_size=4).map(tuple),
    max_leaves=12,
)
"""JSON values; a tuple of pairs is an object, which may have a key twice."""


def text_of(node: Any, colon: str) -> str:
    if type(node) is tuple:
        return "{" + ", ".join(f"{json.dumps(key)}{colon}{text_of(item, colon)}" for key, item in node) + "}"
    if type(node) is list:
        return "[" + ",\n".join(text_of(item, colon) for item in node) + "]"
    return json.dumps(node)


def paths_of(node: Any, path: str = "") -> Iterator[str]:
    if type(node) is tuple:
        seen: set[str] = set()
        for key, item in node:
            own = f"{path}.{key}"
            if key in seen:
                yield own.removeprefix(".")
            seen.add(key)
            yield from paths_of(item, own)
    elif type(node) is list:
        for index, item in enumerate(node):
            yield from paths_of(item, f"{path}[{index}]")


def decoded(body: bytes, form: str) -> tuple[Any, list[str]]:
    decode = documents.decode_json if form == "JSON" else documents.decode_yaml
    return decode(body, find_duplicates=True)


@settings(max_examples=200)
@given(members, st.sampled_from([":", " : ", ":\n"]))
def test_each_duplicate_key_of_an_object_is_found(node: Any, colon: str) -> None:
    body = text_of(node, colon).encode()
    expected = list(dict.fromkeys(paths_of(node)))
    assert duplicate_keys.of_json(body) == expected
    assert decoded(body, "JSON") == (orjson.loads(body), expected)


@pytest.mark.parametrize("form", ["JSON", "YAML"])
def test_at_most_a_hundred_duplicates_are_reported(form: str) -> None:
    body = b"{" + b",".join(b'"%d": 1, "%d": 2' % (number, number) for number in range(1000)) + b"}"
    value, paths = decoded(body, form)
    assert value == {str(number): 2 for number in range(1000)}
    assert paths == [str(number) for number in range(100)]


@pytest.mark.parametrize("form", ["JSON", "YAML"])
def test_the_size_of_reports_does_not_depend_on_the_number_of_keys(form: str) -> None:
    long = b'"%b"' % (b"k" * 100_000)
    twice = b",".join(b'"%d": 1, "%d": 2' % (number, number) for number in range(1000))
    _, paths = decoded(b"{? %b : {%b}}" % (long, twice) if form == "YAML" else b"{%b: {%b}}" % (long, twice), form)
    assert len(paths) == 100
    assert paths[0] == "k" * 320 + "....0"
    deep = b'{"%b": ' % (b"k" * 300) * 150 + b"{%b}" % twice + b"}" * 150
    _, paths = decoded(deep, form)
    assert max(map(len, paths)) <= 1024 + len("...")


@pytest.mark.parametrize("form", ["JSON", "YAML"])
def test_the_same_path_is_located_a_limited_number_of_times(form: str) -> None:
    again = b",".join([b'"x": {"a": 1, "a": 2}'] * 3000)
    _, paths = decoded(b"{%b, %b}" % (again, b'"z": 1, "z": 2'), form)
    assert paths == ["x.a", "x"]


def test_the_keys_of_merged_mappings_are_no_duplicates() -> None:
    body = b"a: &a {x: 1, z: 1}\nb: {<<: *a, x: 2}\nc: {x: 3, <<: *a, z: 4, z: 5}\nd: {<<: [*a, *a], x: 1, x: 2}"
    value, paths = decoded(body, "YAML")
    assert value["b"] == {"x": 2, "z": 1}
    assert paths == ["c.z", "d.x"]
