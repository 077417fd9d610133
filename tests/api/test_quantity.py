"""Quantities: parsing, values, canonical text."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.quantity import NANO, Format, Quantity, parse_quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"), ("0Mi", "0"), ("-0", "0"), ("1", "1"), ("+1", "1"), ("-1", "-1"), ("100m", "100m"), ("1000m", "1"),
        ("0.5", "500m"), (".5", "500m"), ("1.", "1"), ("1500m", "1500m"), ("1000", "1k"), ("1001", "1001"), ("0.1k", "100"),
        ("1024", "1024"), ("1Ki", "1Ki"), ("1024Ki", "1Mi"), ("1.5Gi", "1536Mi"), ("0.5Ki", "512"), ("0.0001Ki", "102400u"),
        ("1.1Ki", "1126400m"), ("12e6", "12e6"), ("12E3", "12e3"), ("1e-3", "1e-3"), ("1500e3", "1500e3"), ("10E", "10E"),
        ("1E", "1E"), ("0.1n", "1n"), ("-0.1n", "-1n"), ("1e-500", "1e-9"), ("9223372036854775808", "9223372036854775808"),
        ("16Ei", "9223372036854775807"),
    ],
)  # fmt: skip
def test_quantities_have_a_canonical_text(text: str, canonical: str) -> None:
    quantity = parse_quantity(text)
    assert str(quantity) == canonical
    assert parse_quantity(canonical) == quantity


@pytest.mark.parametrize(
    "text", ["", "a", "1.1.M", "1+1.0M", "0.1mi", "0.1am", "aoeu", "1i", "-3.01e-", "1 ", "1e", "é", "--1", "1e99999"]
)
def test_invalid_quantities(text: str) -> None:
    with pytest.raises(ValueError, match="quantit"):
        parse_quantity(text)


def test_the_message_says_which_part_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"^unable to parse quantity's suffix$"):
        parse_quantity("1i")
    with pytest.raises(ValueError, match=r"^quantities must match the regular expression"):
        parse_quantity("1x")


def test_quantities_compare_and_add_by_value() -> None:
    assert parse_quantity("1") == parse_quantity("1000m")
    assert hash(parse_quantity("1")) == hash(parse_quantity("1000m"))
    assert parse_quantity("1Gi") > parse_quantity("1G") >= parse_quantity("1e9")
    assert str(parse_quantity("1Gi") + parse_quantity("512Mi")) == "1536Mi"
    assert str(parse_quantity("0") - parse_quantity("1Ki")) == "-1Ki"
    assert parse_quantity("-1m").sign == -1
    assert parse_quantity("1001m").to_integer() == 2
    assert parse_quantity("-0.1m").milli() == -1


@pytest.mark.parametrize(
    ("text", "integer"),
    [
        ("50k", True),
        ("1e3", True),
        ("0", True),
        ("1Ki", True),
        ("1.5", False),
        ("1000m", False),
        ("1.0", False),
        ("10E", False),
    ],
)
def test_integers_have_no_fraction_and_fit_into_64_bits(text: str, integer: bool) -> None:
    assert parse_quantity(text).is_integer() is integer


@pytest.mark.parametrize(
    ("text", "rounded"),
    [("1n", "1m"), ("-1n", "-1m"), ("1.0001", "1001m"), ("1.5Ki", "1536"), ("1e-9", "1e-3"), ("7", "7")],
)
def test_rounding_to_thousandths_goes_away_from_zero(text: str, rounded: str) -> None:
    assert str(parse_quantity(text).rounded_to_milli()) == rounded


def test_a_sum_with_zero_stays_an_integer_and_a_sum_with_a_fraction_does_not() -> None:
    assert (parse_quantity("1") + parse_quantity("0.0")).is_integer()
    assert not (parse_quantity("1") + parse_quantity("1000m")).is_integer()
    assert not (parse_quantity("9223372036854775807") - parse_quantity("-1")).is_integer()


@settings(max_examples=80)
@given(st.integers(-(2**60), 2**60), st.sampled_from([1, 1000, 10**6, 10**9]), st.sampled_from(list(Format)))
def test_the_canonical_text_parses_to_the_same_quantity(numerator: Any, denominator: Any, form: Any) -> None:
    quantity = Quantity(numerator * (NANO // denominator), form)
    assert parse_quantity(str(quantity)) == quantity


@settings(max_examples=100)
@given(st.text(alphabet="0123456789.+-eEKMGTPikmnu", max_size=12))
def test_the_parser_handles_any_text(text: str) -> None:
    try:
        quantity = parse_quantity(text)
    except ValueError:
        return
    assert parse_quantity(str(quantity)) == quantity
