"""JSON paths of columns, scale and selectable fields."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import jsonpath

WIDGET = {
    "metadata": {"name": "w", "annotations": {"foo.bar/baz": "q"}},
    "spec": {"a": [{"b": 1, "n": "x"}, {"b": 2, "n": "y"}, {"b": 3}], "m": {"k": "v"}, "none": None},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "a)b", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["w"]),
        ("{.metadata.name}", ["w"]),
        ("$.metadata.name", ["w"]),
        (r".metadata.annotations.foo\.bar/baz", ["q"]),
        (r".metadata.annotations['foo\.bar/baz']", ["q"]),
        (".metadata['name']", ["w"]),
        (".spec.a[0].b", [1]),
        (".spec.a[-1].b", [3]),
        (".spec.a[0,2].b", [1, 3]),
        (".spec.a[0:2].b", [1, 2]),
        (".spec.a[1:].b", [2, 3]),
        (".spec.a[-2:].b", [2, 3]),
        (".spec.a[0:3:2].b", [1, 3]),
        (".spec.a[*].b", [1, 2, 3]),
        (".spec.m.*", ["v"]),
        ("..b", [1, 2, 3]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='a)b')].status", ["False"]),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".spec.a[?(@.b>=2)].b", [2, 3]),
        (".spec.a[?(@.n)].b", [1, 2]),
        (".spec.none", [None]),
        (".spec.none.x", []),
        (".spec.absent", []),
        (".spec.a[7]", []),
        (".spec.m[0]", []),
        (".spec.a[?(@.b=='1')]", []),
        ("word", []),
        (".spec.a[].b", [1]),
        (".spec.a.[].b", []),
        (".absent[].b", []),
        ("...", []),
        (".spec.", []),
        (".spec. .a", []),
    ],
)
def test_paths_select_values(path: str, found: Any) -> None:
    assert jsonpath.compile_path(path).find(WIDGET) == found


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (".a[", "unterminated array at 2"),
        (".a[x]", "invalid array index x at 2"),
        (".a[-]", "array index - is not a number"),
        (".a[1:-]", "array index - is not a number"),
        (".a[" + "9" * 100 + "]", "invalid array index"),
        ("..*", "unexpected '*'"),
        ("[?(" * 1_300, "unterminated filter"),
        (".a[0:1:0]", "step must be greater than 0"),
        ("....a", "invalid multiple recursive descent"),
        (".a[?(@.b=='x)]", "unterminated filter"),
        (".a[?(@.b=>1)]", "unrecognized filter operator =>"),
        (".a[?(@.b=='x)'", "unterminated filter"),
        (".a{", "unexpected '{' at 2"),
    ],
)
def test_invalid_paths_report_the_position(path: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        jsonpath.compile_path(path)


def test_nested_recursive_descents_have_no_result() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep, "b": 1}
    assert jsonpath.compile_path("..a..a..a..a").find(deep) == []


@settings(max_examples=100)
@given(st.text(alphabet="ab.[]'\"?(@)=<>!*:,0-1\\ $", max_size=25))
def test_the_parser_handles_any_text(text: str) -> None:
    try:
        path = jsonpath.compile_path(text)
    except ValueError:
        return
    roots: list[Any] = [WIDGET, {"a": {"b": [1, {"a": 2}]}}, [], None]
    for obj in roots:
        path.find(obj)


def test_simple_paths_get_and_set() -> None:
    path = jsonpath.simple_path(r".spec['a.b'].c\.d")
    assert path.names == ("spec", "a.b", "c.d")
    assert path.get({}) is None
    assert path.set({"spec": None, "x": 1}, 5) == {"spec": {"a.b": {"c.d": 5}}, "x": 1}
    assert path.get({"spec": {"a.b": {"c.d": 5}}}) == 5


@pytest.mark.parametrize("path", ["", "spec", ".spec[0]", ".spec.*", "..a", ".a.", ".spec[*]", ".a[?(@.b)]"])
def test_paths_that_are_not_simple(path: str) -> None:
    with pytest.raises(ValueError, match="simple JSON path"):
        jsonpath.simple_path(path)


@pytest.mark.parametrize("last", ["[*]", ".*", "[0:]", "[?(@.a)]", "..", "..a"])
def test_paths_that_visit_a_long_list_again_and_again_have_no_result(last: str) -> None:
    repeated = f"[{','.join('0' * 90)}]"
    assert jsonpath.compile_path(f".l{repeated}{repeated}{last}").find({"l": [[[{"a": 1}] * 100_000]]}) == []


def test_long_lists_have_a_result_up_to_a_limit() -> None:
    assert len(jsonpath.compile_path(".l[*].a").find({"l": [{"a": 1}] * 10_000})) == 10_000
    assert jsonpath.compile_path(".l[*].a").find({"l": [{"a": 1}] * 10_001}) == []
    assert jsonpath.compile_path(".l[0].a").find({"l": [{"a": 1}] * 100_000}) == [1]
