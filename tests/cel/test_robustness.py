# ruff: noqa: E501, PT017, SIM905 - tables of fragments; outcomes that are compared
"""Any text gives a program or a CompilationError; any value gives a result or an error of the language."""

import contextlib
import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.cel import (
    DYN,
    BudgetExceededError,
    CelError,
    CompilationError,
    EvaluationError,
    compile_expression,
    compile_rule,
)
from kcp.cel.values import Uint

FRAGMENTS = (
    "self oldSelf x y 1 2u 1.5 'a' b'c' true false null ( ) [ ] { } . , : ? ! - + * / % < <= == != in && || .all( .map( .exists( "
    ".filter( .exists_one( .size() .?a [?0] has( optional.of( .orValue( .optMap( duration('1s') timestamp(0) .matches( .format( "
    ".sortBy( .transformMap( .transformMapEntry( dyn( type( int( string( .distinct() .sum() __result__ // \n ''' \\ ` $ \u00e9 \x00 \ud800"
).split(" ")
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "l": {"type": "array", "items": {"type": "string"}},
        "x": {"type": "string"},
    },
}


def compiles_or_says_why(expression: str) -> None:
    try:
        program = compile_rule(expression, SCHEMA, is_root=True)
    except CompilationError as error:
        assert str(error)
        return
    with contextlib.suppress(CelError):
        assert program.evaluate({"a": 1, "l": ["q"]}, {}) in {True, False}


@settings(max_examples=100)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(" ".join))
def test_any_tokens_compile_or_say_why_not(expression: str) -> None:
    compiles_or_says_why(expression)


@settings(max_examples=100)
@given(st.text(max_size=40))
def test_any_text_compiles_or_says_why_not(expression: str) -> None:
    compiles_or_says_why(expression)


@pytest.mark.parametrize("depth", [10, 60, 240, 300, 5000])
@pytest.mark.parametrize(
    ("before", "middle", "after"),
    [
        ("(", "true", ")"),
        ("!(", "true", ")"),
        ("[", "true", "]"),
        ("true ? (", "true", ") : false"),
        ("true ? true : ", "true", ""),
        ("true && (false || ", "true", ")"),
        ("[1].all(x, ", "true", ")"),
        ("[true].exists(x, x && (", "true", "))"),
        ("{'a': ", "true", "}"),
        ("dyn(", "true", ")"),
        ("optional.of(", "true", ")"),
        ("", "self", ".a"),
        ("", "dyn([])", "[0]"),
        ("1 + ", "1", ""),
        ("- ", "1", ""),
        ("!", "true", ""),
    ],
)
def test_deep_nesting_ends_in_a_program_or_an_error(before: str, middle: str, after: str, depth: int) -> None:
    try:
        program = compile_expression(f"{before * depth}{middle}{after * depth}", {"self": DYN})
    except CompilationError as error:
        assert depth > 200 or "recursion" not in str(error)
        return
    with contextlib.suppress(EvaluationError, BudgetExceededError):
        program.evaluate_variables({"self": {"a": 1}})


def test_nesting_up_to_a_good_depth_compiles() -> None:
    assert compile_expression("(" * 100 + "true" + ")" * 100, {}).evaluate_variables({}) is True
    assert compile_expression("true ? true : " * 100 + "true", {}).evaluate_variables({}) is True
    assert compile_expression("[true].all(x, " * 30 + "true" + ")" * 30, {}).evaluate_variables({}) is True


def test_long_expressions_compile() -> None:
    chain = " && ".join(f"self.a != {number}" for number in range(2000))
    assert compile_rule(chain, SCHEMA, is_root=False).evaluate({"a": -1}) is True
    values = ", ".join(f"'{number}'" for number in range(8000))
    assert compile_rule(f"self.x in [{values}]", SCHEMA, is_root=False).evaluate({"x": "7999"}) is True


def test_an_expression_that_is_too_long_is_refused() -> None:
    with pytest.raises(CompilationError, match="expression code point size exceeds limit: size: 100002, limit 100000"):
        compile_expression("'" + "a" * 100_000 + "'", {})


@pytest.mark.parametrize(
    "text", ["'); import os; ('", "__import__('os')", "'{0}'", "r'\\'", "'\\u0000'", "x'''", "{'a}': 1}.size()"]
)
def test_text_of_the_user_never_becomes_code(text: str) -> None:
    try:
        program = compile_expression(text, {"x": DYN})
    except CompilationError:
        return
    assert program.evaluate_variables({"x": 1}) is not None


def test_texts_are_taken_literally() -> None:
    assert compile_expression("'\\'); raise SystemExit; (\\''", {}).evaluate_variables({}) == "'); raise SystemExit; ('"
    assert compile_expression("self['x\\'][\\'y']", {"self": DYN}).evaluate_variables({"self": {"x']['y": 3}}) == 3


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "1"]), inner, max_size=2),
    max_leaves=6,
)
OPERATIONS = [
    "x + y", "x - y", "x * y", "x / y", "x % y", "x < y", "x >= y", "x == y", "x in y", "x && y", "x || y", "x ? y : x", "x[y]", "-x", "!x",
    "x.a.b", "has(x.a)", "size(x)", "x.all(i, i == y)", "x.map(i, i + y)", "x.filter(i, i)", "x.sum()", "x.max()", "x.sort()",
    "x.distinct()", "x.indexOf(y)", "x.matches(y)", "x.split(y)", "x.replace(y, y)", "'%s'.format([x])", "'%d'.format([x])",
    "string(x)", "int(x)", "double(x)", "timestamp(x)", "duration(x)", "x.?a.orValue(y)", "x[?y]", "x.flatten(1)", "x.transformMap(k, v, y)",
    "{x: y}", "{'a': 1}[x]", "sets.contains(x, y)", "url(x)", "ip(x)", "quantity(x)", "semver(x, true)", "cidr(x)", "x.sortBy(i, y)",
    "x.substring(y)", "x.join(y)", "type(x) == type(y)", "x.exists(i, i > y)", "x.find(y)", "x.includes(y)", "x.slice(0, y)",
]  # fmt: skip
PROGRAMS = {text: compile_expression(text, {"x": DYN, "y": DYN}) for text in OPERATIONS}


@settings(max_examples=100)
@given(VALUES, VALUES)
def test_any_operation_on_any_values_ends_in_a_value_or_an_error_of_the_language(x: Any, y: Any) -> None:
    for program in PROGRAMS.values():
        try:
            program.evaluate_variables({"x": x, "y": y})
        except CelError as error:
            assert str(error)


# Against the language's other implementation

LEAVES = [
    "1",
    "0",
    "-2",
    "3",
    "n",
    "9223372036854775807",
    "2.5",
    "d",
    "'a'",
    "s",
    "true",
    "false",
    "b",
    "null",
    "l",
    "m",
    "5u",
]
NODES = [
    "({0} + {1})", "({0} - {1})", "({0} * {1})", "({0} / {1})", "({0} % {1})", "({0} < {1})", "({0} >= {1})", "({0} == {1})", "({0} != {1})",
    "({0} && {1})", "({0} || {1})", "({0} ? {1} : {2})", "(!{0})", "({0} in l)", "size({0})", "l.all(x, x > {0})", "l.exists(x, x == {0})",
    "l.map(x, x + {0})", "l.filter(x, x != {0})", "l.exists_one(x, x == {0})", "[{0}, {1}]", "{{'a': {0}}}", "l[{0}]", "m[{0}]", "m.a",
    "string({0})", "type({0})", "has(m.b)", "({0}).startsWith({1})",
]  # fmt: skip
EXPRESSIONS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.builds(lambda node, *parts: node.format(*parts), st.sampled_from(NODES), inner, inner, inner),
    max_leaves=6,
)
DATA = {"n": 3, "d": 1.5, "s": "ab", "b": True, "l": [1, 2, 3], "m": {"a": 1, "c": [True]}}


def as_plain(value: Any) -> Any:
    if isinstance(value, list):
        return [as_plain(item) for item in value]
    if isinstance(value, dict):
        return {as_plain(key): as_plain(item) for key, item in value.items()}
    if type(value).__name__ in {"TypeValue", "Type"}:
        return "a type"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return int(value) if isinstance(value, Uint) else value


def same(left: Any, right: Any) -> Any:
    return type(left) is type(right) and (
        all(itertools.starmap(same, zip(left, right, strict=True))) and len(left) == len(right)
        if isinstance(left, list)
        else left == right
    )


@settings(max_examples=100)
@given(EXPRESSIONS)
def test_results_are_those_of_the_other_implementation(expression: str) -> None:
    cel = pytest.importorskip("cel_expr_python.cel", reason="no wheel of cel-expr-python for this machine")
    other = cel.NewEnv(variables=dict.fromkeys(DATA, cel.Type.DYN))
    dyn = " ".join(expression.split())
    try:
        theirs = other.compile(dyn).eval(data=DATA)
        expected = ("error",) if theirs.type() == cel.Type.ERROR else ("value", as_plain(theirs.plain_value()))
    except RuntimeError:
        return
    found: tuple[Any, ...]
    try:
        found = ("value", as_plain(compile_expression(dyn, dict.fromkeys(DATA, DYN)).evaluate_variables(DATA)))
    except CompilationError as error:
        # Kubernetes wants literals of one type.
        assert "expected type" in str(error)
        return
    except EvaluationError:
        found = ("error",)
    assert found[0] == expected[0], dyn
    assert same(list(found[1:]), list(expected[1:])), (dyn, found, expected)


TWICE = "optional.of([1])" + ".optMap(a, [a, a])" * 60
LONGER = "optional.of('aaaaaaaaaaaaaaaa')" + ".optMap(a, a + a)" * 60
LISTS = "optional.of([1, 2])" + ".optMap(a, a + a)" * 60


@pytest.mark.parametrize(
    "expression",
    [
        f"dyn({TWICE}) == dyn({TWICE})",
        f"'%s'.format([{TWICE}.value()]) == ''",
        f"dyn({TWICE}.value()).indexOf(1) == 1",
        f"{LONGER}.hasValue()",
        f"{LISTS}.hasValue()",
        "lists.range(1000000).map(i, x).join(x).size() == 1",
        "(x + x).replace('', x + x + x).size() == 1",
        "'%s%s%s%s%s%s%s%s%s%s'.format([x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x, x + x].map(y, [y, y, y, y])) == ''",
    ],
)
def test_no_expression_grows_without_bounds(expression: str) -> None:
    program = compile_expression(expression, {"x": DYN})
    with pytest.raises(BudgetExceededError):
        program.evaluate_variables({"x": "a" * 1_000_000})


def test_a_name_with_a_leading_dot_is_that_of_a_variable_outside() -> None:
    assert (
        compile_expression("[1].all(x, .x == 'outer' && x == 1)", {"x": DYN}).evaluate_variables({"x": "outer"}) is True
    )
