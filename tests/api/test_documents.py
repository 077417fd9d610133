"""Bodies are decoded within limits; stored objects have a fixed order of keys, so that bytes can be spliced in."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import documents
from kcp.api.errors import StatusError

texts = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('"\\:{},\n '), max_size=6)
data = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
meta = st.fixed_dictionaries(
    {"name": texts},
    optional={
        "annotations": st.dictionaries(texts | st.just("kcp.io/cluster"), texts, max_size=3),
        "resourceVersion": st.just("7"),
        "labels": st.dictionaries(texts, texts, max_size=2),
    },
)
objects = st.builds(
    lambda metadata, rest: {**rest, "metadata": metadata, "kind": "A", "apiVersion": "a.b/v1"},
    meta,
    st.dictionaries(texts, data, max_size=3),
)


LISTS_OF_ALIASES = b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"a%d: &a%d [%b]\n" % (level, level, b",".join([b"*a%d" % (level - 1)] * 10)) for level in range(1, 8)
)
MAPS_OF_ALIASES = b"a0: &a0 {x: [x,x,x,x,x,x,x,x]}\n" + b"".join(
    b"a%d: &a%d {%b}\n" % (level, level, b",".join(b"k%d: *a%d" % (key, level - 1) for key in range(9)))
    for level in range(1, 9)
)


@settings(max_examples=80)
@given(objects, st.integers(1, 2**62), texts)
def test_splicing_the_resource_version_equals_decoding_and_encoding(obj: Any, revision: Any, cluster: Any) -> None:
    stored = documents.encode_stored(obj)
    assert stored.startswith(b'{"apiVersion":"a.b/v1","kind":"A","metadata":{"resourceVersion":""')
    expected = orjson.loads(orjson.dumps(obj))
    annotations = {
        name: value for name, value in (obj["metadata"].get("annotations") or {}).items() if name != "kcp.io/cluster"
    }
    expected["metadata"].pop("annotations", None)
    expected["metadata"] |= {"resourceVersion": str(revision)} | ({"annotations": annotations} if annotations else {})
    spliced = documents.splice_revision(stored, revision)
    assert orjson.loads(spliced) == expected
    expected["metadata"]["annotations"] = {**annotations, "kcp.io/cluster": cluster}
    assert orjson.loads(documents.splice_cluster(spliced, cluster)) == expected
    assert documents.encode_stored(orjson.loads(spliced)) == stored


def test_values_that_look_like_a_resource_version_are_not_changed() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "A",
        "metadata": {"name": "a"},
        "spec": {"x": '"resourceVersion":""', "resourceVersion": ""},
    }
    spliced = documents.splice_revision(documents.encode_stored(obj), 5)
    assert orjson.loads(spliced) == {**obj, "metadata": {"name": "a", "resourceVersion": "5"}}


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        (b'{"a":1}', []),
        (b'{"a":{"b":1,"b":2}}', ["a.b"]),
        (b'{"a":[{"b":1,"b":1,"b":1}],"a":[{"c":1,"c":2}]}', ["a[0].b", "a", "a[0].c"]),
        (b'{"a" : 1, "a"\n: 2}', ["a"]),
        (b'{"a":1,"\\u0061":2}', ["a"]),
        (b'{"a":"\\":","b":"\\\\\\":"}', []),
        (b'{"a\\\\":1,"b":2,"b":3}', ["b"]),
        (b'{"a\\u005c":1,"b":2,"b":"\\":"}', ["b"]),
        (b'{"a":"x\\u0022:","a":1}', ["a"]),
    ],
)
def test_duplicate_keys_are_reported_with_their_paths(body: bytes, paths: Any) -> None:
    value, found = documents.decode_json(body, find_duplicates=True)
    assert (value, found) == (json.loads(body), paths)
    assert documents.decode_json(body) == (value, [])


@settings(max_examples=100)
@given(data, st.booleans())
def test_documents_without_duplicates_have_none(value: Any, indented: Any) -> None:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else None)
    assert documents.decode_json(body, find_duplicates=True) == (value, [])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":1e999}', "infinity"),
        (b'{"a":"\xff"}', "not valid JSON"),
        (b"[" * 201 + b"]" * 201, "nested more than 200 levels"),
        (b"[" * 5000 + b"]" * 5000, "nested more than 200 levels"),
        (b'{"a":' * 201 + b"1" + b"}" * 201, "nested more than 200 levels"),
    ],
)
def test_invalid_json_is_refused(body: Any, says: str) -> None:
    with pytest.raises(StatusError) as refused:
        documents.decode_json(body)
    assert refused.value.code == 400
    assert says in str(refused.value)


def test_the_deepest_body_can_be_stored() -> None:
    body = b'{"a":' * 200 + b"1" + b"}" * 200
    value, _ = documents.decode_json(body)
    documents.encode({"fieldsV1": {"x": {"y": {"z": value}}}})
    assert documents.decode_yaml(body)[0] == value


@settings(max_examples=80)
@given(data)
def test_equal_yaml_and_json_decode_to_the_same_object(value: Any) -> None:
    assert documents.decode_yaml(documents.encode_yaml(value), find_duplicates=True) == (value, [])


@settings(max_examples=40)
@given(st.text(alphabet="ab:-[]{}&*!<?|>'\"\n 01.#%~", max_size=30))
def test_the_yaml_parser_handles_any_text(text: str) -> None:
    try:
        value, _ = documents.decode_yaml(text.encode(), find_duplicates=True)
    except StatusError:
        return
    orjson.dumps(value)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", True), ("On", True), ("y", True), ("N", False), ("off", False), ("'yes'", "yes"), ("!!str yes", "yes"),
        ("~", None), ("", None), ("nULL", "nULL"), ("12", 12), ("+12", 12), ("0755", 493), ("0o17", 15), ("0x1F", 31),
        ("0b101", 5), ("1_000", 1000), ("09", 9), ("1e3", 1000), ("1.5", 1.5), ("1.0", 1), (".5", 0.5), ("-.5e1", -5),
        ("1:30", "1:30"), ("2024-01-01", "2024-01-01"), ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"), ("1.2.3", "1.2.3"),
        ("9223372036854775807", 2**63 - 1), ("18446744073709551616", 2.0**64), ("!!float 3", 3), ("!!binary aGk=", "hi"),
        ("0x", "0x"), ("-", [None]), ("=", "="), ("!custom 5", "5"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_sigs_yaml(scalar: str, value: Any) -> None:
    read, _ = documents.decode_yaml(f"a: {scalar}\n".encode() if scalar != "-" else b"a:\n-\n")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


def test_keys_become_strings() -> None:
    read, _ = documents.decode_yaml(b"1: a\n1.5: b\nyes: c\n010: d\n1e6: e\n")
    assert read == {"1": "a", "1.5": "b", "true": "c", "8": "d", "1e+06": "e"}


def test_merge_keys_and_aliases_become_copies() -> None:
    read, duplicates = documents.decode_yaml(
        b"a: &a {x: 1, z: 2}\nb: {<<: *a, z: 3}\nc: [*a, *a]\n", find_duplicates=True
    )
    assert read == {"a": {"x": 1, "z": 2}, "b": {"x": 1, "z": 3}, "c": [{"x": 1, "z": 2}] * 2}
    assert duplicates == []
    assert read["c"][0] is not read["c"][1]


def test_duplicate_keys_of_yaml_are_found() -> None:
    read, duplicates = documents.decode_yaml(b"a: 1\nb:\n- c: 1\n  c: 2\na: 3\n", find_duplicates=True)
    assert (read, duplicates) == ({"a": 3, "b": [{"c": 2}]}, ["b[0].c", "a"])


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"\n", 400, "empty"),
        (b"a: 1\n---\nb: 2\n", 400, "more than one document"),
        (b"[" * 200_000, 400, "nested more than 200 levels"),
        (b"- " * 1000 + b"a", 400, "nested more than 200 levels"),
        (b"a: &a [*a]", 400, "contains itself"),
        (b"a: *b", 400, "unknown anchor"),
        (b"a: .nan", 400, "unsupported value"),
        (b"? [a]\n: b", 400, "unsupported map key"),
        (b"~: b", 400, "unsupported map key"),
        (b"<<: 1", 400, "map merge requires map"),
        (b"a: !!int x", 400, "cannot decode"),
        (b"a: b: c", 400, "error converting YAML to JSON: yaml:"),
        (b"a: \xff", 400, "error converting YAML to JSON"),
        (LISTS_OF_ALIASES, 400, "yaml: document contains excessive aliasing"),
        (MAPS_OF_ALIASES, 400, "yaml: document contains excessive aliasing"),
    ],
)  # fmt: skip
def test_invalid_yaml_is_refused(body: Any, code: int, says: str) -> None:
    with pytest.raises(StatusError) as refused:
        documents.decode_yaml(body)
    assert refused.value.code == code
    assert says in str(refused.value)


def test_encoded_yaml_quotes_strings_that_look_like_other_types() -> None:
    written = documents.encode_yaml({"b": ["yes", "1e3", "1:30", "", "n"], "a": "two\nlines\n", "c": {"d": None}})
    assert written.decode() == 'a: |\n  two\n  lines\nb:\n- "yes"\n- "1e3"\n- "1:30"\n- ""\n- "n"\nc:\n  d: null\n'


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("5.0", 5), ("1e3", 1000), ("1E3", 1000), ("-2.50e1", -25), ("1.5", 1.5), ("0.0", 0), ("-0.0", 0), ("5", 5),
        ("1e-3", 0.001), ("9007199254740993.0", 9007199254740992), ("1e18", 10**18), ("1e21", 1e21),
        ("18446744073709551615", 2**64 - 1),
    ],
)  # fmt: skip
def test_whole_numbers_are_integers_however_they_are_written(number: str, value: Any) -> None:
    body = r'{"a\\": "x", "b": [{"c\"": NUMBER}], "d": true}'.replace("NUMBER", number)
    decoded, _ = documents.decode_json(body.encode())
    found = decoded["b"][0]['c"']
    assert (found, type(found)) == (value, type(value))
    decoded, _ = documents.decode_json(number.encode())
    assert (decoded, type(decoded)) == (value, type(value))


@settings(max_examples=200)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(['"', "\\", '\\"', "1.5", "e", "true", '": 1.0, "', "E"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(['"', "\\", "a.0", "1e3"]), inner),
        max_leaves=10,
    )
)
def test_no_whole_number_stays_a_float(value: Any) -> None:
    decoded, _ = documents.decode_json(orjson.dumps(value))
    assert decoded == value

    def check(node: Any) -> None:
        if isinstance(node, float):
            assert not node.is_integer() or not -(2**63) <= node < 2**64
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            check(child)

    check(decoded)
