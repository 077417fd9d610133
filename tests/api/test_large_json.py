"""A large document is decoded in portions, to what orjson makes of it and with its errors."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import documents, large_json

letters = st.characters(codec="utf-8")
texts = st.text(alphabet=letters | st.sampled_from('"\\:{}[],\n '), max_size=6)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=25,
)
layouts = st.sampled_from([None, 2])
FIELDS = '{"metadata":{"managedFields":[{"fieldsV1":{"f:data":{%s}}}]},"spec":{"map":{%s}}}'


def document(value: Any, indent: int | None = None) -> bytes:
    """A document with enough members to be worth portions."""
    many = {
        "list": [value] * large_json.MIN_MEMBERS,
        "map": {str(number): value for number in range(3_000)},
        "last": value,
    }
    return json.dumps(many, indent=indent).encode()


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal in type and order too."""
    return json.dumps(left) == json.dumps(right)


def outcome(decode: Callable[[bytes], Any], body: bytes) -> str:
    """The value that a body is decoded to, or the error, as text."""
    try:
        return json.dumps(decode(body))
    except orjson.JSONDecodeError as error:
        return str(error)


@settings(max_examples=40, deadline=None)
@given(values, layouts)
def test_portions_make_what_one_call_makes(value: Any, indent: int | None) -> None:
    body = document(value, indent)
    assert same(large_json.decode(body), orjson.loads(body))


@settings(max_examples=40, deadline=None)
@given(values, st.integers(0), st.sampled_from(b'{}[],:"\\1x \x00\xff'), st.booleans())
def test_what_is_no_json_has_the_error_of_one_call(value: Any, place: int, byte: int, truncated: bool) -> None:
    body = bytearray(document(value))
    place %= len(body)
    body[place : len(body) if truncated else place + 1] = bytes((byte,))
    assert outcome(large_json.decode, bytes(body)) == outcome(orjson.loads, bytes(body))


def test_the_last_of_duplicate_keys_counts() -> None:
    members = ",".join(f'"k{number % 7_000}":{number}' for number in range(20_000))
    body = b"{%b}" % members.encode()
    assert same(large_json.decode(body), orjson.loads(body))


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (",", " :")])
def test_duplicate_keys_of_a_large_body_are_found(separators: tuple[str, str]) -> None:
    once = {"data": {f'k"{number}\\': f'v"{number}:' for number in range(20_000)}}
    body = json.dumps(once, separators=separators).encode()
    assert len(body) > large_json.LARGE
    assert documents.decode_json(body, find_duplicates=True) == (once, [])
    twice = body[:-1] + b',"data":{"a":1,"\\u0061":2}}'
    value, found = documents.decode_json(twice, find_duplicates=True)
    assert (value, found) == ({"data": {"a": 2}}, ["data", "data.a"])


def test_equal_strings_of_a_large_document_are_one() -> None:
    decoded = large_json.decode(document("value"))
    assert len({id(text) for text in decoded["list"]}) <= 2, "the last one is decoded by itself"
    assert len({id(text) for text in decoded["map"].values()}) <= 2


def test_empty_maps_are_shared_in_managed_fields_only() -> None:
    members = ",".join(f'"f:k{number}":{{}}' for number in range(12_000))
    decoded = large_json.decode((FIELDS % (members, members)).encode())
    owned = decoded["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]
    assert len({id(node) for node in owned.values()}) <= 2
    assert len({id(value) for value in decoded["spec"]["map"].values()}) == 12_000
    assert owned == decoded["spec"]["map"]


def test_equal_nodes_of_list_items_are_shared_in_managed_fields() -> None:
    nodes = ['{".":{},"f:name":{}}', '{".":{},"f:name":{},"f:v":{}}', '{"f:deep":{"f:a":{}}}']
    members = ",".join(f'"k{number}":{nodes[number % 3]}' for number in range(12_000))
    decoded = large_json.decode((FIELDS % (members, members)).encode())
    owned = decoded["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]
    assert len({id(node) for node in owned.values() if "." in node}) <= 3, "the last one is decoded by itself"
    assert owned == decoded["spec"]["map"]


@pytest.mark.parametrize("value", ["null", "0", "false", '""', "[]", '{"a":null}', '{"a":0}', '{"a":[]}'])
def test_other_empty_values_in_managed_fields_stay(value: str) -> None:
    members = ",".join(f'"f:k{number}":{value}' for number in range(12_000))
    body = (FIELDS % (members, members)).encode()
    assert same(large_json.decode(body), orjson.loads(body))


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 300_000, "[[[[[1]]]]]," * 100_000])
def test_deep_documents_are_left_to_one_call(text: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        large_json.decode(text.encode() + b"," * large_json.MIN_MEMBERS)
