"""The core language: each row holds here and, where it supports the expression, in Google's C++ implementation."""

from collections.abc import Iterator
from typing import Any

import pytest

from kcp.cel import DYN, CompilationError, EvaluationError, compile_expression

cel = pytest.importorskip("cel_expr_python.cel", reason="no wheel of cel-expr-python for this machine")
from cel_expr_python.ext import ext_optional, ext_strings  # noqa: E402 - after the check that it is there

DATA = {
    "n": 3,
    "d": 2.5,
    "s": "héllo",
    "b": True,
    "l": [1, 2, 3],
    "m": {"a": 1, "b": {"c": "x"}},
    "nothing": None,
    "texts": ["b", "a", "c"],
}
ORACLE = cel.NewEnv(
    variables=dict.fromkeys(DATA, cel.Type.DYN),
    extensions=[ext_strings.ExtStrings(2), ext_optional.ExtOptional()],
)


def ours(expression: str, **data: Any) -> Any:
    values = {**DATA, **data}
    return compile_expression(expression, dict.fromkeys(values, DYN)).evaluate_variables(values)


TRUE = """
1 + 2 * 3 == 7
(1 + 2) * 3 == 9
-7 / 2 == -3
-7 % 2 == -1
7 % -2 == 1
10 - 2 - 3 == 5
2.5 / 2.0 == 1.25
1.0 / 0.0 > 1.0
5u + 3u == 8u
0xff == 255
0x10u == 16u
1e3 == 1000.0
-9223372036854775808 < 0
9223372036854775807 > 0
dyn(1) == 1.0
dyn(1) == 1u
dyn(1) != 'a'
!(dyn(1) == true)
'a' < 'b'
b'a' < b'b'
b'\\xff' == b'\\377'
'\\u00e9' == 'é'
r'\\d' == '\\u005cd'
'''a
b''' == 'a\\nb'
'a' + 'b' == 'ab'
b'a' + b'b' == b'ab'
[1] + [2] == [1, 2]
[1, 2][1] == 2
{'a': 1}['a'] == 1
{'a': 1}.a == 1
{1: 'x', 2: 'y'}[2] == 'y'
{true: 1}[true] == 1
1 in [1, 2]
!(3 in [1, 2])
'a' in {'a': 1}
2 in l
n == 3 && d == 2.5 && b
n in l
m.a == 1
m.b.c == 'x'
m['b']['c'] == 'x'
has(m.a) && !has(m.z)
has(m.b.c)
nothing == null
!(n == null)
true || 1 / 0 == 1
1 / 0 == 1 || true
!(false && 1 / 0 == 1)
!(1 / 0 == 1 && false)
true ? true : 1 / 0 == 1
(n > 2 ? 'big' : 'small') == 'big'
n > 5 ? false : n > 2 ? true : false
size('héllo') == 5
s.size() == 5
size(b'h\\xc3\\xa9') == 3
size(l) == 3 && l.size() == 3 && size(m) == 2
s.startsWith('hé') && s.endsWith('lo') && s.contains('éll')
s.matches('^h.llo$')
matches('abc', 'b+')
!'abc'.matches('^b')
type(1) == int
type(1.0) == double
type(1u) == uint
type('') == string
type(b'') == bytes
type(true) == bool
type(null) == null_type
type([]) == list
type({}) == map
type(type(1)) == type
type(int) == type
type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp
type(duration('1s')) == google.protobuf.Duration
int('42') == 42
int(4.9) == 4
int(-4.9) == -4
int(7u) == 7
uint('7') == 7u
uint(3.5) == 3u
double('1.5') == 1.5
double(2) == 2.0
string(12) == '12'
string(true) == 'true'
string(1.5) == '1.5'
string(b'abc') == 'abc'
bytes('é') == b'\\xc3\\xa9'
bool('true')
!bool('f')
string(duration('90m')) == '5400s'
int(timestamp('1970-01-01T00:01:00Z')) == 60
timestamp(60) == timestamp('1970-01-01T00:01:00Z')
timestamp('2020-01-01T00:00:00Z') + duration('24h') == timestamp('2020-01-02T00:00:00Z')
timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h')
timestamp('2020-01-01T01:00:00+01:00') == timestamp('2020-01-01T00:00:00Z')
timestamp('2020-01-01T00:00:00Z') < timestamp('2020-01-01T00:00:01Z')
duration('1h') > duration('59m59s')
duration('1h') + duration('30m') == duration('90m')
duration('1h') - duration('30m') == duration('30m')
duration('-1.5h') == duration('-90m')
timestamp('2020-03-05T07:08:09.123Z').getFullYear() == 2020
timestamp('2020-03-05T07:08:09.123Z').getMonth() == 2
timestamp('2020-03-05T07:08:09.123Z').getDate() == 5
timestamp('2020-03-05T07:08:09.123Z').getDayOfMonth() == 4
timestamp('2020-03-05T07:08:09.123Z').getDayOfYear() == 64
timestamp('2020-03-05T07:08:09.123Z').getDayOfWeek() == 4
timestamp('2020-03-05T07:08:09.123Z').getHours() == 7
timestamp('2020-03-05T07:08:09.123Z').getMinutes() == 8
timestamp('2020-03-05T07:08:09.123Z').getSeconds() == 9
timestamp('2020-03-05T07:08:09.123Z').getMilliseconds() == 123
timestamp('2020-03-05T07:08:09Z').getHours('-08:00') == 23
timestamp('2020-03-05T07:08:09Z').getHours('02:00') == 9
duration('3730s').getHours() == 1
duration('3730s').getMinutes() == 62
duration('3730s').getSeconds() == 3730
[1, 2, 3].all(x, x > 0)
![1, 2, 3].all(x, x > 1)
[1, 0].all(x, 1 / x > 5) == false
[1, 2, 3].exists(x, x == 2)
[0, 2].exists(x, 4 / x == 2)
[1, 2, 2].exists_one(x, x == 1)
![1, 2, 2].exists_one(x, x == 2)
[1, 2, 3].map(x, x * 2) == [2, 4, 6]
[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]
[1, 2, 3].filter(x, x > 1) == [2, 3]
{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])
{'a': 1, 'b': 2}.exists(k, k == 'b')
{'a': 1}.map(k, k + 'x') == ['ax']
[[1, 2], [3]].all(x, x.all(y, y > 0))
[1, 2].map(x, [1, 2].map(y, x * y)) == [[1, 2], [2, 4]]
l.map(x, x + n) == [4, 5, 6]
l.filter(x, x > 1).map(x, x * x).exists(x, x == 9)
[1, 2].all(n, n < 3) && n == 3
[].all(x, false) && ![].exists(x, true)
{} == {} && [] == []
{'a': [{'b': 2}]} == {'a': [{'b': 2}]}
{'a': 1, 'b': 2} == {'b': 2, 'a': 1}
[1, 2] != [2, 1]
'abc'.charAt(1) == 'b'
'abc'.charAt(3) == ''
'hello mellow'.indexOf('ello') == 1
'hello mellow'.indexOf('ello', 2) == 7
'hello mellow'.lastIndexOf('ello') == 7
'hello mellow'.lastIndexOf('ello', 6) == 1
'hello'.indexOf('x') == -1
'TacoCat'.lowerAscii() == 'tacocat'
'TacoCÆt'.upperAscii() == 'TACOCÆT'
'hello hello'.replace('he', 'we') == 'wello wello'
'hello hello'.replace('he', 'we', 1) == 'wello hello'
'hello hello'.replace('he', 'we', 0) == 'hello hello'
'hello hello'.replace('', '_') == '_h_e_l_l_o_ _h_e_l_l_o_'
'a b c'.split(' ') == ['a', 'b', 'c']
'a b c'.split(' ', 2) == ['a', 'b c']
'a b c'.split(' ', 0) == []
'a b c'.split(' ', -1) == ['a', 'b', 'c']
'abc'.split('') == ['a', 'b', 'c']
['a', 'b'].join() == 'ab'
['a', 'b'].join('-') == 'a-b'
'tacocat'.substring(4) == 'cat'
'tacocat'.substring(0, 4) == 'taco'
'  \\ttrim\\n '.trim() == 'trim'
'%s %d %b %o %x %X'.format(['a', 5, 5, 8, 30, 30]) == 'a 5 101 10 1e 1E'
'%.2f'.format([1.255]) == '1.25'
'%%%s%%'.format([true]) == '%true%'
'%s'.format([duration('90s')]) == '90s'
texts.exists(t, t.startsWith('a'))
optional.of(1).value() == 1
optional.of(1).hasValue() && !optional.none().hasValue()
optional.none().orValue(3) == 3
optional.none().or(optional.of(2)).value() == 2
m.?a.orValue(7) == 1
m.?z.orValue(7) == 7
m.?b.?c.orValue('q') == 'x'
m.?z.?c.orValue('q') == 'q'
m[?'z'].orValue(9) == 9
l[?7].orValue(9) == 9
l[?0].value() == 1
[1, ?optional.none(), ?optional.of(2)] == [1, 2]
{'a': 1, ?'b': optional.none(), ?'c': optional.of(3)} == {'a': 1, 'c': 3}
m.?a.optMap(x, x + 1).value() == 2
!m.?z.optMap(x, x + 1).hasValue()
m.?b.optFlatMap(x, x.?c).value() == 'x'
optional.ofNonZeroValue('').hasValue() == false
has({'a': 1}.a)
!!true
--3 == 3
-n == -3
// a comment
true
.5 == 0.5
"a" == 'a'
"""


def rows() -> Iterator[str]:
    """Parse one row per expression; an incomplete line continues on the next one."""
    pending = ""
    for line in TRUE.strip("\n").split("\n"):
        pending = f"{pending}\n{line}" if pending else line
        if pending.count("'''") % 2 or (pending.startswith("//") and "\n" not in pending):
            continue
        yield pending
        pending = ""


@pytest.mark.parametrize("expression", list(rows()))
def test_true_expressions(expression: str) -> None:
    expression = expression.replace("\\\\", "\\")
    assert ours(expression) is True
    assert ORACLE.compile(expression).eval(data=DATA).value() is True


@pytest.mark.parametrize(
    "expression",
    [
        "1 < 1.5",
        "1u < 2",
        "2 > 1u",
        "-1 < 0u",
        "string(timestamp('2020-01-02T03:04:05.5Z')) == '2020-01-02T03:04:05.5Z'",
        """'%s'.format([[1, 'a', {'k': 2}, 1.5]]) == '[1, "a", {"k":2}, 1.500000]'""",
        "'%.3e'.format([1052.03]) == '1.052\u00d710\u2070\u00b3'",
        "'%.1f'.format([1234567.0]) == '1,234,567.0'",
        "strings.quote('a\\n\"b') == '\"a\\\\n\\\\\"b\"'",
        "[3, 1, 2].sort() == [1, 2, 3]",
    ],
)
def test_true_expressions_on_which_the_reference_implementation_differs(expression: str) -> None:
    assert ours(expression) is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("9223372036854775807 + n > 0", "integer overflow"),
        ("-9223372036854775807 - n < 0", "integer overflow"),
        ("9223372036854775807 * n > 0", "integer overflow"),
        ("-(-9223372036854775807 - 1) > 0", "integer overflow"),
        ("(-9223372036854775807 - 1) / -1 > 0", "integer overflow"),
        ("18446744073709551615u + 1u > 0u", "unsigned integer overflow"),
        ("1u - 2u > 0u", "unsigned integer overflow"),
        ("n / 0 == 1", "division by zero"),
        ("n % 0 == 1", "modulus by zero"),
        ("int(d * 1e30) == 1", "integer overflow"),
        ("uint(n - 9) == 1u", "unsigned integer overflow"),
        ("int(s) == 1", "type conversion error from 'string' to 'int'"),
        ("uint(s) == 1u", "type conversion error from 'string' to 'uint'"),
        ("double(s) == 1.0", "type conversion error from 'string' to 'double'"),
        ("bool(s)", "type conversion error from 'string' to 'bool'"),
        ("string(b'\\xff' + bytes(s)) == ''", "invalid UTF-8"),
        ("m.z == 1", "no such key: z"),
        ("m['z'] == 1", "no such key: z"),
        ("{1: 2}[n] == 1", "no such key: 3"),
        ("l[3] == 1", "index out of bounds: 3"),
        ("l[-1] == 1", "index out of bounds: -1"),
        ("s.foo == 1", "no such overload"),
        ("n + s == 1", "no such overload"),
        ("n && true", "no such overload"),
        ("n ? true : false", "no such overload"),
        ("n.startsWith('a')", "no such overload"),
        ("n.all(x, true)", "no such overload"),
        ("l.all(x, x)", "no such overload"),
        ("false || n", "no such overload"),
        ("[1, 0].all(x, 1 / x > 0)", "division by zero"),
        ("[0, 2].exists(x, 4 / x == 7)", "division by zero"),
        ("[1, 0].exists_one(x, 1 / x == 1)", "division by zero"),
        ("1 / 0 == 1 && true", "division by zero"),
        ("true && 1 / 0 == 1", "division by zero"),
        ("false || 1 / 0 == 1", "division by zero"),
        ("double('NaN') < 1.0", "NaN values cannot be ordered"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1h') > timestamp(0)", "timestamp overflow"),
        ("duration(s) == duration('1s')", "type conversion error from 'string' to 'google.protobuf.Duration'"),
        ("timestamp(s) == timestamp(0)", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
        ("optional.none().value() == 1", r"optional.none\(\) dereference"),
        ("'abc'.substring(5) == ''", "index out of range: 5"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1"),
        ("'abc'.charAt(9) == ''", "index out of range: 9"),
        ("'%d'.format(['a']) == ''", "decimal clause can only be used on integers, was given string"),
        ("'%d %d'.format([1]) == ''", "index 1 out of range"),
        ("'a'.matches(s + '(')", "error parsing regexp"),
        ("timestamp(0).getHours('Nowhere/Land') == 1", "unknown time zone"),
        ("{'a': 1, 'a': 2}.size() == 1", "repeated key"),
    ],
)
def test_expressions_that_fail(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        ours(expression)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("int('0x1') == 1", "type conversion error from 'string' to 'int'"),
        ("n > 100 && double('x') == 1.0", "type conversion error from 'string' to 'double'"),
        ("bool('yes')", "type conversion error from 'string' to 'bool'"),
        ("uint('-1') == 1u", "type conversion error from 'string' to 'uint'"),
        ("uint(-1) == 1u", "unsigned integer overflow"),
        ("int(1e30) == 1", "integer overflow"),
        ("int(string('x')) == 1", "type conversion error from 'string' to 'int'"),
        ("string(b'\\xff') == ''", "invalid UTF-8"),
    ],
)
def test_a_constant_that_cannot_be_converted_does_not_compile(expression: str, message: str) -> None:
    with pytest.raises(CompilationError, match=f"program instantiation failed: {message}"):
        ours(expression)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.0", "1"),
        ("1000000.0", "1e+06"),
        ("123456.0", "123456"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("-2.5e-7", "-2.5e-07"),
    ],
)
def test_doubles_print_as_go_prints_them(value: str, text: str) -> None:
    assert ours(f"string({value})") == text


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("[1, 2, 3].all(i, v, v == i + 1)", True),
        ("[1, 2, 3].exists(i, v, i == 2 && v == 3)", True),
        ("{'a': 1, 'b': 2}.existsOne(k, v, v == 2)", True),
        ("{'a': 1, 'b': 2}.exists_one(k, v, v > 0)", False),
        ("[1, 2, 3].transformList(i, v, i * v)", [0, 2, 6]),
        ("[1, 2, 3].transformList(i, v, i > 0, v)", [2, 3]),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v * 2)", {"a": 2, "b": 4}),
        ("{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2)", {"b": 4}),
        ("['x', 'y'].transformMap(i, v, v)", {0: "x", 1: "y"}),
        ("{'a': 'x'}.transformMapEntry(k, v, {v: k})", {"x": "a"}),
        ("m.transformList(k, v, k == 'a', v)", [1]),
    ],
)
def test_comprehensions_with_two_variables(expression: str, expected: Any) -> None:
    assert ours(expression) == expected


def test_a_repeated_key_of_transform_map_entry_fails() -> None:
    with pytest.raises(EvaluationError, match="insert failed: key x already exists"):
        ours("['x', 'x'].transformMapEntry(i, v, {v: i})")


@pytest.mark.parametrize("expression", ["self", "1 +", "'", "a.b", "cel.bind(x, 1, x)", "'abc'.reverse()", "`a`"])
def test_invalid_expressions_do_not_compile(expression: str) -> None:
    with pytest.raises(CompilationError):
        ours(expression)
