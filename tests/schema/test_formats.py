"""String formats accept what Kubernetes accepts."""

import pytest

from kcp.cel.patterns import compile_pattern
from kcp.schema import formats

CASES = {
    "date": (["2024-02-29"], ["2023-02-29", "2024-1-1", "", "2024-02-29T00:00:00Z"]),
    "date-time": (
        ["2014-12-15T19:30:20.000Z", "2014-12-15t19:30:20+02:00"],
        ["2014-12-15", "2014-12-15T24:30:20Z", "x"],
    ),
    "datetime": (["2014-12-15T19:30:20Z"], ["2014-12-15 19:30:20Z"]),
    "duration": (["22 ns", "1h30m", "1.5h", "3 days", "0"], ["", "soon", "12"]),
    "ipv4": (["10.0.0.1", "010.000.000.001"], ["10.0.0", "::1", "10.0.0.256"]),
    "ipv6": (["::1", "fe80::1", "::ffff:10.0.0.1"], ["10.0.0.1", "fe80::1%eth0", ":::"]),
    "cidr": (["10.0.0.0/8", "fd00::/8"], ["10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/+8"]),
    "uri": (
        ["https://example.com/a?b=c", "/absolute/path", "mailto:a@b.c"],
        ["example.com", "", "https://a b/", "http://[::1/"],
    ),
    "email": (["a@example.com", "Ann <a@example.com>"], ["a", "@example.com", "a@"]),
    "hostname": (["example.com", "a", "1and1.de"], ["-a.example.com", "a..b", "x" * 64 + ".com"]),
    "mac": (["01:23:45:67:89:ab", "0123.4567.89ab"], ["01:23:45:67:89", "01:23-45:67:89:ab"]),
    "uuid": (["A987FBC9-4BED-3078-CF07-9141BA07C9F3"], ["a987fbc9", "g987fbc9-4bed-3078-cf07-9141ba07c9f3"]),
    "uuid3": (["a987fbc9-4bed-3078-cf07-9141ba07c9f3"], ["a987fbc9-4bed-4078-8f07-9141ba07c9f3"]),
    "uuid4": (["57b73598-8764-4ad0-a76a-679bb6640eb1"], ["57b73598-8764-4ad0-076a-679bb6640eb1"]),
    "uuid5": (["987fbc97-4bed-5078-af07-9141ba07c9f3"], ["987fbc97-4bed-4078-af07-9141ba07c9f3"]),
    "isbn": (["0321751043", "978-0321751041"], ["0321751044", "978-0321751042"]),
    "isbn10": (["0321751043"], ["978-0321751041"]),
    "isbn13": (["978-0321751041"], ["0321751043"]),
    "creditcard": (["4111-1111-1111-1111"], ["4111111111111112", "1"]),
    "ssn": (["111-22-3333"], ["111223333", "111-22-333a"]),
    "hexcolor": (["#FFFFFF", "fff"], ["#ffff", "red"]),
    "rgbcolor": (["rgb(255,255,255)", "rgb(0, 31, 255)"], ["rgb(256,0,0)", "rgb(1,2)"]),
    "byte": (["YQ==", "YWJj"], ["YQ", "", "a b="]),
    "password": (["", "anything"], []),
    "k8s-short-name": (["a", "a-b", "x" * 63], ["A", "-a", "x" * 64, "a.b"]),
    "k8s-long-name": (["a.b", "x" * 100], ["a..b", "x" * 254]),
}


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [(name, value, index == 0) for name, both in CASES.items() for index, each in enumerate(both) for value in each],
)
def test_a_format_tells_its_values(name: str, value: str, fits: bool) -> None:
    check = formats.string_check(name)
    assert check is not None
    assert check(value) is fits


def test_a_format_counts_only_for_its_type() -> None:
    assert formats.effective_format(("integer",), "int32") == "int32"
    assert formats.effective_format(("integer",), "date") == ""
    assert formats.effective_format(("string",), "int32") == ""
    assert formats.effective_format(("number",), "double") == "double"
    assert formats.effective_format(("array",), "date") == ""


def test_a_pattern_that_cannot_be_read_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="error parsing regexp"):
        compile_pattern("(")
