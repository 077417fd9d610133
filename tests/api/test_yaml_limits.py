"""Limits on the expansion of a YAML body and on the cost of parsing it."""

import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import documents, yaml_documents
from kcp.api.errors import StatusError
from kcp.api.yaml_expansion import ExpansionError
from kcp.api.yaml_input import YAMLError
from tests.api.test_documents import data

LIMIT = documents.MAX_BYTES
DIRECTIVES = b"".join(b"%%TAG !%d! tag:example.com,2000:\n" % number for number in range(17))
BLANKS = b" " * 20_000


def refusal(body: bytes) -> StatusError:
    with pytest.raises(StatusError) as refused:
        documents.decode_yaml(body, find_duplicates=True)
    return refused.value


def laughs(width: int, depth: int) -> bytes:
    lines = [b"a0: &a0 [x]"]
    lines += [
        b"a%d: &a%d [%b]" % (level, level, b",".join([b"*a%d" % (level - 1)] * width)) for level in range(1, depth)
    ]
    return b"\n".join(lines)


@settings(max_examples=100)
@given(data)
def test_the_limit_is_exact_in_bytes_of_json(value: Any) -> None:
    body, size = documents.encode_yaml(value), len(orjson.dumps(value))
    assert yaml_documents.load(body, max_depth=20, max_size=size) == (value, [])
    with pytest.raises(ExpansionError, match=f"more than {size - 1} bytes of JSON"):
        yaml_documents.load(body, max_depth=20, max_size=size - 1)


@settings(max_examples=100)
@given(data, st.integers(1, 3))
def test_an_alias_counts_as_the_value_that_it_stands_for(value: Any, times: int) -> None:
    flow = orjson.dumps({"of": value})[6:-1]
    body = b'{"a": &a %b, "b": [%b]}' % (flow, b",".join([b"*a"] * times))
    whole = {"a": value, "b": [value] * times}
    size = len(orjson.dumps(whole))
    assert yaml_documents.load(body, max_depth=20, max_size=size) == (whole, [])
    with pytest.raises(ExpansionError):
        yaml_documents.load(body, max_depth=20, max_size=size - 1)


@pytest.mark.parametrize(
    "body",
    [
        b"a: &a " + b"x" * 1_000_000 + b"\nb: [" + b"*a," * 3000 + b"]",
        b"a: &a " + b"x" * 250_000 + b"\nb: [" + b"*a," * 80_000 + b"]",
        b'a: &a "' + b"\\x01" * 100_000 + b'"\nb: [' + b"*a," * 10 + b"]",
        "a: &a {b: [é}".replace("é", "é" * 100_000 + "]").encode() + b"\nb: [" + b"*a," * 20 + b"]",
        b"a: &a " + b"k" * 100_000 + b"\nb: [" + b"{*a : 1}," * 1000 + b"]",
        b"a: &a {k: " + b"x" * 100_000 + b"}\nb: [" + b"{<<: *a}," * 1000 + b"]",
        b"a: &a {k: " + b"x" * 100_000 + b"}\nb: {<<: [" + b"*a," * 1000 + b"]}",
        b"a: &a {k: " + b"x" * 100_000 + b"}\nb: {" + b"<<: *a," * 1000 + b"}",
        b"a: &a [&b [" + b"x" * 100_000 + b"], *b, *b]\nb: [" + b"*a," * 1000 + b"]",
    ],
    ids=["issue", "many", "escaped", "non-ascii", "keys", "merge", "merges", "repeated", "nested"],
)
def test_aliases_expand_to_as_many_bytes_as_a_body_may_have(body: bytes) -> None:
    tracemalloc.start()
    try:
        refused = refusal(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (refused.code, refused.reason) == (413, "RequestEntityTooLarge")
    assert str(refused) == f"Request entity too large: the YAML document represents more than {LIMIT} bytes of JSON"
    assert peak < 4 * LIMIT


@pytest.mark.parametrize(
    "body", [laughs(9, 30), laughs(101, 3), b"a: &a [" + b"x," * 1000 + b"]\nb: [" + b"*a," * 120 + b"]"]
)
def test_a_document_of_mostly_aliases_is_refused(body: bytes) -> None:
    refused = refusal(body)
    assert (refused.code, str(refused)) == (
        400,
        "error converting YAML to JSON: yaml: document contains excessive aliasing",
    )


def test_aliases_of_ordinary_documents_are_accepted() -> None:
    value, _ = documents.decode_yaml(b"a: &a {b: [1, 2]}\nc: [" + b"*a, " * 500 + b"]\nd: {<<: *a, e: 1}")
    assert value == {"a": {"b": [1, 2]}, "c": [{"b": [1, 2]}] * 500, "d": {"b": [1, 2], "e": 1}}
    assert documents.decode_yaml(laughs(9, 3))[0]["a2"] == [[["x"]] * 9] * 9


def test_an_alias_may_not_go_below_the_deepest_level() -> None:
    body = b"a: &a " + b"[" * 150 + b"]" * 150 + b"\nb: "
    assert documents.decode_yaml(body + b"[" * 49 + b"*a" + b"]" * 49)
    assert "nested more than 200 levels" in str(refusal(body + b"[" * 50 + b"*a" + b"]" * 50))
    through_an_alias = (
        b"a: &a [[[]]]\nb: &b " + b"[" * 150 + b"*a" + b"]" * 150 + b"\nc: " + b"[" * 50 + b"*b" + b"]" * 50
    )
    assert "nested more than 200 levels" in str(refusal(through_an_alias))


@pytest.mark.parametrize(
    "opening",
    [b"[", b"[[", b"{a: ", b"- ", b"? ", b"- - ", b"- ? ", b"[{a: "],
)
def test_nesting_ends_at_the_same_level_in_every_style(opening: bytes) -> None:
    for depth in (201, 999, 1001, 100_000):
        assert str(refusal(opening * depth)) == "error converting YAML to JSON: nested more than 200 levels deep"


def test_lines_that_indent_each_other_end_at_the_same_level() -> None:
    body = b"".join(b" " * level + b"a:\n" for level in range(1500))
    assert str(refusal(body)) == "error converting YAML to JSON: nested more than 200 levels deep"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"a: &a 1\nb: &a 2\nc: *a", {"a": 1, "b": 2, "c": 2}),
        (b"&k 1: *k", {"1": 1}),
        (b"a: &a 1e6\n*a : *a", {"a": 1000000, "1e+06": 1000000}),
        (b"&a {x: &b {z: 1}, v: *b}", {"x": {"z": 1}, "v": {"z": 1}}),
    ],
)
def test_an_alias_stands_for_the_last_value_of_its_name(body: bytes, value: Any) -> None:
    assert documents.decode_yaml(body)[0] == value


@pytest.mark.parametrize("body", [b"&a [*a]", b"a: &a 1\nb: &a [*a]", b"a: &a {b: {c: *a}}", b"a: &a {<<: *a}"])
def test_a_value_that_contains_itself_is_refused(body: bytes) -> None:
    assert str(refusal(body)) == "error converting YAML to JSON: yaml: anchor 'a' value contains itself"


def test_anchors_are_counted() -> None:
    body = b"[" + b"".join(b"&a%d 1," % number for number in range(10_001)) + b"]"
    assert (refusal(body).code, str(refusal(body))) == (
        413,
        "Request entity too large: the document has more than 10000 anchors",
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (DIRECTIVES + b"--- a", "more than 16 %TAG directives"),
        (b"a: 1\n...\n" + DIRECTIVES + b"--- a", "more than 16 %TAG directives"),
        (DIRECTIVES.replace(b"\n", b"\r") + b"--- a", "more than 16 %TAG directives"),
        (b"%TAG !a! " + b"a" * 2000 + b"\n--- a", "a %TAG directive of more than 1024 bytes"),
        (b'a: "' + BLANKS + b"a " * 60_000 + b'"', "a run of 20000 blanks and more than 53687 others"),
        (b"a: x" + BLANKS + b"a " * 60_000, "a run of 20000 blanks and more than 53687 others"),
        (b"a: |\n  x\n" + b"\n" * 20_000 + b"  a\n" * 60_000, "a run of 20003 blanks and more than"),
        ('a: "' + "\x85" * 10_000 + "a\n\n" * 60_000 + '"', "a run of 20000 blanks and more than"),
        ("\ufeff" + 'a: "' + " " * 20_000 + "a " * 60_000 + '"', "a run of 20000 blanks and more than"),
    ],
)
def test_what_libyaml_would_read_in_quadratic_time_is_refused(body: bytes | str, says: str) -> None:
    for encoding in ("utf-8", "utf-16"):
        encoded = (body.decode() if isinstance(body, bytes) else body).encode(encoding)
        assert str(refusal(encoded)).startswith(f"error converting YAML to JSON: yaml: {says}")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"%TAG !e! tag:example.com,2000:\n--- {a: !e!x 5}", {"a": "5"}),
        (DIRECTIVES[: DIRECTIVES.index(b"%TAG !16!")] + b"--- !15!x a", "a"),
        (b"a: |\n" + b"  %TAG !a! b\n" * 20, {"a": "%TAG !a! b\n" * 20}),
        (b'a: "' + BLANKS + b"a " * 1000 + b'"', {"a": " " * 20_000 + "a " * 1000}),
        (b"a:" + b" " * 1_000_000 + b"b", {"a": "b"}),
        (b"\n" * 1_000_000 + b"a: b", {"a": "b"}),
        (b"a: |\n" + b"\n" * 100_000 + b" b\n", {"a": "\n" * 100_000 + "b\n"}),
    ],
)
def test_similar_documents_that_are_cheap_to_read_are_accepted(body: bytes, value: Any) -> None:
    assert documents.decode_yaml(body)[0] == value


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_encodings_are_those_of_yaml(encoding: str) -> None:
    text = "a: äöü\u2028\n" if encoding != "utf-16-be" else "\ufeffa: äöü\u2028\n"
    assert documents.decode_yaml(text.encode(encoding))[0] == {"a": "äöü"}


@pytest.mark.parametrize(
    "body",
    [b"a: *" + b"x" * 100_000, b"&" + b"x" * 100_000 + b" [*" + b"x" * 100_000 + b"]", b"a: !" + b"x" * 10_000 + b" {"],
)
def test_messages_have_no_long_names(body: bytes) -> None:
    assert len(str(refusal(body))) < 250


@pytest.mark.parametrize(
    "body",
    [
        b"a: !!int hunter2",
        b"a: !!float hunter2",
        b"a: !!bool hunter2",
        b"a: !!binary hunter2=x",
        "a: !!binary hunter2ü".encode(),
        b"a: hunter2: x",
    ],
)
def test_messages_have_no_values(body: bytes) -> None:
    assert refusal(body).code == 400
    assert "hunter2" not in str(refusal(body))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"a: b: c", "yaml: line 1: mapping values are not allowed in this context"),
        (b"a: b\n@c: d", "yaml: line 2: found character that cannot start any token"),
        (b"a: [1\nb: 2", "yaml: line 2: did not find expected ',' or ']'"),
        (b"a: 'b", "yaml: line 1: found unexpected end of stream"),
        (b"a: \x01", "yaml: offset 3: control characters are not allowed"),
        (b"a: \xff", "yaml: offset 3: invalid leading UTF-8 octet"),
    ],
)
def test_faults_are_named_with_their_line(body: bytes, says: str) -> None:
    assert str(refusal(body)) == f"error converting YAML to JSON: {says}"


def test_all_faults_are_yaml_errors() -> None:
    for body in (b"[" * 300, b"a: *b", b"a: &a [*a]", b"a: b: c", b"\xff"):
        with pytest.raises(YAMLError):
            yaml_documents.load(body, max_depth=200, max_size=1000)
