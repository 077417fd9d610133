"""Compilation errors, with the messages of cel-go that users of Kubernetes know."""

from typing import Any

import pytest

from kcp.cel import BOOL, DYN, INT, STRING, CompilationError, compile_expression, compile_rule, list_of, map_of

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer"},
        "s": {"type": "string"},
        "l": {"type": "array", "items": {"type": "string"}},
        "o": {"type": "object", "properties": {"x": {"type": "boolean"}}},
        "m": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("self.foo == 1", "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo == 1\n | ....^"),
        ("has(self.foo)", "ERROR: <input>:1:4: undefined field 'foo'\n | has(self.foo)\n | ...^"),
        ("foo", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo\n | ^"),
        ("foo(1)", "ERROR: <input>:1:4: undeclared reference to 'foo' (in container '')\n | foo(1)\n | ...^"),
        (
            "self.s.foo()",
            "ERROR: <input>:1:11: undeclared reference to 'foo' (in container '')\n | self.s.foo()\n | ..........^",
        ),
        (
            "self.n == 'a'",
            "ERROR: <input>:1:8: found no matching overload for '_==_' applied to '(int, string)'\n | self.n == 'a'\n | .......^",
        ),
        (
            "self.s.startsWith(1)",
            (
                "ERROR: <input>:1:18: found no matching overload for 'startsWith' applied to 'string.(int)'\n"
                " | self.s.startsWith(1)\n | .................^"
            ),
        ),
        ("true\n  && self.z", "ERROR: <input>:2:10: undefined field 'z'\n |   && self.z\n | .........^"),
        ("'é' == self.z", "ERROR: <input>:1:12: undefined field 'z'\n | 'é' == self.z\n | .．.........^"),
        (
            "self.y && self.z",
            (
                "ERROR: <input>:1:5: undefined field 'y'\n | self.y && self.z\n | ....^\n"
                "ERROR: <input>:1:15: undefined field 'z'\n | self.y && self.z\n | ..............^"
            ),
        ),
    ],
)
def test_errors_are_shown_with_their_place(expression: str, text: str) -> None:
    with pytest.raises(CompilationError) as raised:
        compile_rule(expression, SCHEMA, is_root=False)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("self.n + 1.0 > 0.0", "found no matching overload for '_+_' applied to '(int, double)'"),
        ("self.n && true", "expected type 'bool' but found 'int'"),
        ("self.s > 1", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.l.all(x, x > 1)", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.l.all(x, x)", "expected type 'bool' but found 'string'"),
        (
            "self.o.all(x, true)",
            "expression of type 'selfType.o' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("self.n.x", "type 'int' does not support field selection"),
        ("[1, 'a'].size() == 2", "expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}.size() == 2", "expected type 'int' but found 'string'"),
        ("{'a': 1, 2: 3}.size() == 2", "expected type 'string' but found 'int'"),
        ("self.n == null", "found no matching overload for '_==_' applied to '(int, null)'"),
        ("self.n in self.l", "found no matching overload for '@in' applied to '(int, list(string))'"),
        ("self.m[1] == 1", "found no matching overload for '_[_]' applied to '(map(string, int), int)'"),
        ("size(self.n) == 1", "found no matching overload for 'size' applied to '(int)'"),
        ("(true ? 1 : 'a') == 1", "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("self.l.map(x, 1).exists(y, y == 'a')", "found no matching overload for '_==_' applied to '(int, string)'"),
        (
            "self.?s.orValue(1) == 1",
            "found no matching overload for 'orValue' applied to 'optional_type(string).(int)'",
        ),
        ("has(self)", "invalid argument to has() macro"),
        ("self.l.all(x.y, true)", "argument must be a simple name"),
        ("self.l.map(1, 2) == []", "argument is not an identifier"),
        ("self.l.all(i, i, true)", "duplicate variable name: i"),
        ("[1].all(__result__, true)", "iteration variable overwrites accumulator variable"),
        ("package", "reserved identifier: package"),
        ("0xFFFFFFFFFFFFFFFFF == 1", "invalid int literal"),
        ("9223372036854775808 == 1", "invalid int literal"),
        ("1.99e90000009 == 1.0", "invalid double literal"),
        ("1 + 2\n3", "Syntax error: extraneous input '3' expecting <EOF>"),
        ("Foo{a: 1}", "undeclared reference to 'Foo' (in container '')"),
        ("1 + $", "Syntax error: token recognition error at: '$'"),
        ("self.m.a.b", "type 'int' does not support field selection"),
        ("self.metadata.name == ''", "undefined field 'metadata'"),
        (
            "quantity('1') < quantity('2')",
            "found no matching overload for '_<_' applied to '(kubernetes.Quantity, kubernetes.Quantity)'",
        ),
        ("cel.bind(x, 1, x == 1)", "undeclared reference to 'cel' (in container '')"),
    ],
)
def test_type_errors_have_a_message(expression: str, message: str) -> None:
    with pytest.raises(CompilationError) as raised:
        compile_rule(expression, SCHEMA, is_root=False)
    assert raised.value.message == message


def test_a_rule_is_a_bool() -> None:
    with pytest.raises(CompilationError, match=r"^cel expression must evaluate to a bool$"):
        compile_rule("self.n", SCHEMA, is_root=False)


def test_a_message_expression_is_a_string() -> None:
    assert compile_rule("'no ' + self.s", SCHEMA, is_root=False, result="string").evaluate({"s": "x"}) == "no x"
    with pytest.raises(CompilationError, match=r"^messageExpression must evaluate to a string$"):
        compile_rule("self.n > 1", SCHEMA, is_root=False, result="string")


def test_a_dyn_result_is_no_bool() -> None:
    with pytest.raises(CompilationError, match="must evaluate to a bool"):
        compile_rule("dyn(true)", SCHEMA, is_root=False)


def test_variables_have_the_types_that_they_are_declared_with() -> None:
    program = compile_expression(
        "a.map(x, x + 1) == [2] && b.k == 'v'", {"a": list_of(INT), "b": map_of(STRING, STRING)}, BOOL
    )
    assert program.evaluate_variables({"a": [1], "b": {"k": "v"}}) is True
    with pytest.raises(CompilationError, match="no matching overload"):
        compile_expression("a == 'x'", {"a": INT})


def test_only_the_variables_that_are_used_need_values() -> None:
    program = compile_expression("request.user == 'me'", {"object": DYN, "request": DYN})
    assert program.variables == {"request"}
    assert program.evaluate_variables({"request": {"user": "me"}}) is True


def test_arguments_of_format_may_be_of_any_types() -> None:
    assert compile_expression("'%s %d'.format(['a', 1])", {}).evaluate_variables({}) == "a 1"


def test_the_type_of_the_result_is_known() -> None:
    kind: Any = "list(int)"
    assert str(compile_rule("self.l.map(x, x.size())", SCHEMA, is_root=False, result=kind).result_type) == "list(int)"
