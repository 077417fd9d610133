# ruff: noqa: E501 - one expression, one line
"""Kubernetes' own function libraries."""

from typing import Any

import pytest

from kcp.cel import BOOL, DYN, STRING, CompilationError, EvaluationError, Type, compile_expression
from kcp.cel.libraries import functions
from kcp.cel.values import Opaque


def value(expression: str, **data: Any) -> Any:
    return compile_expression(expression, dict.fromkeys(data, DYN)).evaluate_variables(data)


HOLDS = {
    "lists": """
        [1, 2, 3].isSorted() && ![2, 1].isSorted() && ['a', 'b'].isSorted() && [1, 1].isSorted()
        [1, 2, 3].sum() == 6 && [1.5, 2.0].sum() == 3.5 && [1u, 2u].sum() == 3u && [duration('1s'), duration('2s')].sum() == duration('3s')
        [].sum() == 0
        [3, 1, 2].max() == 3 && [3, 1, 2].min() == 1 && ['b', 'a'].max() == 'b'
        [1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2 && [1].indexOf(5) == -1
        [1, 2, 3].includes(2) && !['a'].includes('b') && 'a'.includes('a')
        [1, 2, 3, 4].slice(1, 3) == [2, 3] && [1].slice(1, 1) == []
        [[1, 2], [3]].flatten() == [1, 2, 3]
        [1, 2, 2, 1].distinct() == [1, 2] && ['a', 'b', 'a'].distinct() == ['a', 'b']
        [[1], [1], [2]].distinct() == [[1], [2]]
        [3, 1, 2].sort() == [1, 2, 3] && ['b', 'a'].sort() == ['a', 'b']
        ['ccc', 'a', 'bb'].sortBy(x, x.size()) == ['a', 'bb', 'ccc']
        lists.range(3) == [0, 1, 2]
        [1, 2, 3].reverse() == [3, 2, 1]
        [1, 2].first().value() == 1 && [1, 2].last().value() == 2 && ![].first().hasValue()
        [optional.of(1), optional.none()].unwrapOpt() == [1] && optional.unwrap([optional.of(1)]) == [1]
    """,
    "sets": """
        sets.contains([1, 2, 3], [1, 2]) && !sets.contains([1], [2]) && sets.contains([], [])
        sets.equivalent([1, 2, 2], [2, 1]) && !sets.equivalent([1], [1, 2])
        sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2])
    """,
    "regex": """
        'abc 123 def 456'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''
        'abc 123 def 456'.findAll('[0-9]+') == ['123', '456']
        'abc 123 def 456'.findAll('[0-9]+', 1) == ['123'] && 'a1'.findAll('[0-9]', 0) == []
        'abc'.matches('(?i)^ABC$') && 'a.b'.matches(r'^a\\.b$') && 'x\\n'.matches('x$') == false
    """,
    "url": """
        url('https://user:pw@example.com:8443/a%20b?x=1&x=2&y=#frag').getScheme() == 'https'
        url('https://user:pw@example.com:8443/a').getHost() == 'example.com:8443'
        url('https://example.com:8443/a').getHostname() == 'example.com'
        url('https://example.com:8443/a').getPort() == '8443' && url('https://example.com/a').getPort() == ''
        url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getHost() == '[::1]:80'
        url('https://example.com/a%20b').getEscapedPath() == '/a%20b' && url('https://example.com/with space/').getEscapedPath() == '/with%20space/'
        url('https://example.com/?x=1&x=2&y=').getQuery() == {'x': ['1', '2'], 'y': ['']}
        isURL('https://example.com') && isURL('/absolute/path') && !isURL('relative/path') && !isURL('') && !isURL('https://a:port/')
        !isURL('../x') && !isURL(':foo') && !isURL('https://a b/') && isURL('mailto:a@b.c')
        url('/a/b').getHost() == '' && url('/a') == url('/a') && url('/a') != url('/b')
    """,
    "quantity": """
        isQuantity('1.5Gi') && isQuantity('100m') && isQuantity('1e3') && !isQuantity('1Zi') && !isQuantity('') && !isQuantity('1 G')
        quantity('1000m') == quantity('1') && quantity('1Ki') == quantity('1024')
        quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1M').isLessThan(quantity('1Mi'))
        quantity('1').compareTo(quantity('2')) == -1 && quantity('2').compareTo(quantity('2')) == 0 && quantity('3').compareTo(quantity('2')) == 1
        quantity('50k').isInteger() && quantity('50k').asInteger() == 50000 && !quantity('9999999999999999999999G').isInteger()
        !quantity('1.5').isInteger() && quantity('50000000G').isInteger()
        quantity('50.703k').asApproximateFloat() == 50703.0
        sign(quantity('-5')) == -1 && sign(quantity('0')) == 0 && sign(quantity('5')) == 1
        quantity('50k').add(quantity('20k')) == quantity('70k') && quantity('50k').add(20) == quantity('50020')
        quantity('50k').sub(quantity('20k')) == quantity('30k') && quantity('50k').sub(20000) == quantity('30k')
        quantity('1n').isGreaterThan(quantity('0')) && quantity('0.1n') == quantity('1n')
    """,
    "ip": """
        isIP('127.0.0.1') && isIP('::1') && !isIP('1.2.3') && !isIP('01.2.3.4') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')
        ip('127.0.0.1') == ip('127.0.0.1') && ip('127.0.0.1') != ip('10.0.0.1') && ip('2001:db8::abcd') == ip('2001:DB8::ABCD')
        ip.isCanonical('127.0.0.1') && ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')
        ip('127.0.0.1').family() == 4 && ip('::1').family() == 6
        ip('0.0.0.0').isUnspecified() && !ip('127.0.0.1').isUnspecified() && ip('::').isUnspecified()
        ip('127.0.0.1').isLoopback() && ip('::1').isLoopback() && !ip('10.0.0.1').isLoopback()
        ip('224.0.0.1').isLinkLocalMulticast() && !ip('224.0.1.1').isLinkLocalMulticast() && ip('ff02::1').isLinkLocalMulticast()
        ip('169.254.169.254').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast() && !ip('192.168.0.1').isLinkLocalUnicast()
        ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast() && ip('2001:db8::abcd').isGlobalUnicast() && !ip('ff00::1').isGlobalUnicast()
        string(ip('127.0.0.1')) == '127.0.0.1' && type(ip('::1')) == net.IP
    """,
    "cidr": """
        isCIDR('192.168.0.0/24') && isCIDR('::1/128') && !isCIDR('192.168.0.0/33') && !isCIDR('192.168.0.0') && !isCIDR('1.2.3.4/08') && !isCIDR('::ffff:1.2.3.4/128')
        cidr('192.168.0.0/24').containsIP('192.168.0.1') && !cidr('192.168.0.0/24').containsIP(ip('192.168.1.1'))
        cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24') && !cidr('192.168.1.0/24').containsCIDR(cidr('192.168.0.0/16'))
        cidr('192.168.0.1/24').ip() == ip('192.168.0.1') && cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24')
        cidr('192.168.0.0/24').prefixLength() == 24 && string(cidr('192.168.0.1/24')) == '192.168.0.1/24'
        !cidr('10.0.0.0/8').containsIP('::1') && type(cidr('10.0.0.0/8')) == net.CIDR
    """,
    "format": """
        !format.dns1123Label().validate('my-name').hasValue() && format.dns1123Label().validate('My_name').value().size() == 1
        !format.dns1123Subdomain().validate('a.b.c').hasValue() && format.dns1123Subdomain().validate('a..b').hasValue()
        !format.dns1035Label().validate('a1').hasValue() && format.dns1035Label().validate('1a').hasValue()
        !format.dns1123LabelPrefix().validate('name-').hasValue() && format.dns1123Label().validate('name-').hasValue()
        !format.qualifiedName().validate('example.com/name').hasValue() && format.qualifiedName().validate('/x').hasValue()
        !format.labelValue().validate('').hasValue() && format.labelValue().validate('a b').hasValue()
        !format.uri().validate('https://a/b').hasValue() && format.uri().validate('a b').hasValue()
        !format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue() && format.uuid().validate('x').value() == ['does not match the UUID format']
        !format.byte().validate('aGk=').hasValue() && format.byte().validate('!').value() == ['invalid base64']
        !format.date().validate('2020-02-29').hasValue() && format.date().validate('2021-02-29').hasValue()
        !format.datetime().validate('2020-02-29T00:00:00Z').hasValue() && format.datetime().validate('now').hasValue()
        format.named('dns1123Label').value() == format.dns1123Label() && !format.named('nothing').hasValue()
    """,
    "semver": """
        isSemver('1.0.0') && isSemver('1.0.0-alpha.1+build.5') && !isSemver('v1.0.0') && !isSemver('1.0') && !isSemver('01.0.0') && !isSemver('1.0.0-01')
        isSemver('v1.0', true) && isSemver('01.002.3', true) && !isSemver('1-alpha', true) && !isSemver('x', true)
        semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3
        semver('1.0.0').isLessThan(semver('1.0.1')) && semver('2.0.0').isGreaterThan(semver('1.9.9'))
        semver('1.0.0-alpha').isLessThan(semver('1.0.0')) && semver('1.0.0-alpha.1').isLessThan(semver('1.0.0-alpha.beta'))
        semver('1.0.0-2').isLessThan(semver('1.0.0-10')) && semver('1.0.0-alpha').compareTo(semver('1.0.0-alpha.1')) == -1
        semver('1.0.0+a') == semver('1.0.0+b') && semver('v1.2', true) == semver('1.2.0')
    """,
}


@pytest.mark.parametrize("expression", [line.strip() for text in HOLDS.values() for line in text.strip().split("\n")])
def test_true_expressions(expression: str) -> None:
    assert value(expression) is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("dyn([]).max() == 1", "max called on empty list"),
        ("[1, 2].slice(0, 3) == []", r"cannot slice\(0, 3\), list is length 2"),
        ("[1, 2].slice(-1, 1) == []", "negative indexes not supported"),
        ("[dyn(1), dyn('a')].sort() == []", "list elements must have the same type"),
        (
            "url('../a').getHost() == ''",
            'URL parse error during conversion from string: parse "../a": invalid URI for request',
        ),
        ("quantity('x').isInteger()", "quantities must match the regular expression"),
        ("quantity('1.5').asInteger() == 1", "cannot convert value to integer"),
        ("ip('1.2.3').family() == 4", 'IP Address "1.2.3" parse error during conversion from string'),
        ("ip('::ffff:1.2.3.4').family() == 4", "IPv4-mapped IPv6 address"),
        ("cidr('1.2.3.4').prefixLength() == 1", "network address parse error during conversion from string"),
        ("semver('1.2').major() == 1", "Invalid Semantic Version"),
        ("semver('1-a', true).major() == 1", "short version cannot contain PreRelease/Build meta data"),
        ("lists.range(10000000).size() == 1", "too long"),
    ],
)
def test_expressions_that_fail(expression: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        value(expression)


def test_a_pattern_of_unknown_text_is_matched_in_linear_time() -> None:
    # A backtracking engine takes 2^30 steps here.
    assert value("x.matches('^(a+)+$')", x="a" * 5000 + "!") is False


@pytest.mark.parametrize(
    ("expression", "argument"),
    [("'a'.matches('(')", 13), ("timestamp('x')", 11), ("duration('1x')", 10), ("'a'.findAll('[')", 13)],
)
def test_bad_constants_do_not_compile(expression: str, argument: int) -> None:
    with pytest.raises(CompilationError) as raised:
        value(expression)
    assert (
        raised.value.message == f"invalid {expression.split('(', maxsplit=1)[0].rsplit('.', maxsplit=1)[-1]} argument"
    )
    assert raised.value.column == argument


class Decision(Opaque):
    """A value of a type that this test declares."""

    __slots__ = ("allowed",)
    cel_type = "test.Decision"

    def __init__(self, allowed: Any) -> None:
        self.allowed = allowed


def test_more_functions_and_types_can_be_declared() -> None:
    decision = Type("object", "test.Decision")
    rows: list[Any] = [
        (
            "decide_string",
            "decide(string): decision",
            lambda who: Decision(who == "admin"),
            lambda _result, who: len(who),
        ),
        ("decision_allowed", "decision.allowed(): bool", lambda value: value.allowed),
    ]
    library = functions().extended(rows, {"decision": decision})
    program = compile_expression(
        "decide(who).allowed() && x.allowed()", {"who": STRING, "x": DYN}, BOOL, library=library
    )
    assert program.evaluate_variables({"who": "admin", "x": Decision(True)}) is True
    assert program.evaluate_variables({"who": "user", "x": Decision(True)}) is False
    with pytest.raises(EvaluationError, match="no such overload"):
        program.evaluate_variables({"who": "admin", "x": 1})
    with pytest.raises(CompilationError, match="undeclared reference to 'decide'"):
        compile_expression("decide('x')", {})
