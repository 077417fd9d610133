"""Validation of names: valid names, and Kubernetes' messages about invalid ones."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import names

REFERENCE_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
REFERENCE_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
close_to_names = st.text(alphabet="ab0-._/A%é\n", max_size=70)


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a--b.c-0.d", "x" * 253])
def test_valid_subdomains(name: str) -> None:
    assert names.is_dns1123_subdomain(name) == []


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a..b", ".a", "a.", "a.-b", "a-.b", "a_b", "é", "a\n", "a b"])
def test_invalid_subdomains(name: str) -> None:
    (message,) = names.is_dns1123_subdomain(name)
    assert message.startswith("a lowercase RFC 1123 subdomain must consist of")
    assert r"regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')" in message


def test_a_long_subdomain_violates_only_the_length_rule() -> None:
    assert names.is_dns1123_subdomain("x" * 254) == ["must be no more than 253 characters"]


def test_a_label_with_dots_has_a_message_of_its_own() -> None:
    assert names.is_dns1123_label("a.b") == ["must not contain dots"]


def test_labels_have_a_length_rule_and_a_pattern() -> None:
    assert names.is_dns1123_label("x" * 64) == ["must be no more than 63 characters"]
    assert names.is_dns1123_label("X") == [
        (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
            "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
            "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        )
    ]


def test_lengths_are_counted_in_bytes() -> None:
    assert names.is_dns1123_label("é" * 32)[0] == "must be no more than 63 characters"


def test_an_rfc_1035_label_starts_with_a_letter() -> None:
    assert names.is_dns1035_label("a0") == []
    (message,) = names.is_dns1035_label("0a")
    assert message.startswith("a DNS-1035 label must consist of")


@pytest.mark.parametrize("key", ["a", "A.b_c-d", "example.com/a", "0/0", "x" * 63, "a." * 126 + "a/" + "x" * 63])
def test_valid_qualified_names(key: str) -> None:
    assert names.is_qualified_name(key) == []


@pytest.mark.parametrize(
    ("key", "starts"),
    [
        ("", ["name part must be non-empty", "name part must consist of"]),
        ("a/", ["name part must be non-empty", "name part must consist of"]),
        ("/a", ["prefix part must be non-empty"]),
        ("a/b/c", ["a valid label key must consist of"]),
        ("A/b", ["prefix part a lowercase RFC 1123 subdomain"]),
        ("x" * 64, ["name part must be no more than 63 bytes"]),
        ("x" * 254 + "/a", ["prefix part must be no more than 253 bytes"]),
        ("-a", ["name part must consist of"]),
    ],
)
def test_invalid_qualified_names(key: str, starts: str) -> None:
    found = names.is_qualified_name(key)
    assert [message.startswith(start) for message, start in zip(found, starts, strict=True)] == [True] * len(starts)


def test_label_values_may_be_empty_but_not_end_in_a_dash() -> None:
    assert names.is_label_value("") == names.is_label_value("a_B.0-x") == []
    assert names.is_label_value("x" * 64) == ["must be no more than 63 bytes"]
    (message,) = names.is_label_value("a-")
    assert message.startswith("a valid label must be an empty string or consist of alphanumeric characters")


@pytest.mark.parametrize(
    ("key", "message"),
    [(".", "must not be '.'"), ("..", "must not be '..'"), ("..a", "must not start with '..'")],
)
def test_config_map_keys_are_not_directory_names(key: str, message: str) -> None:
    assert names.is_config_map_key(key) == [message]


def test_path_segment_names_contain_neither_slashes_nor_percent_signs() -> None:
    assert names.is_path_segment_name("system:controller:x") == []
    assert names.is_path_segment_name("..") == ["may not be '..'"]
    assert names.is_path_segment_name("a/b%c") == ["may not contain '/'", "may not contain '%'"]


def test_webhook_names_have_three_labels() -> None:
    assert names.is_fully_qualified_name("a.example.com") == []
    assert names.is_fully_qualified_name("example.com") == [
        "should be a domain with at least three segments separated by dots"
    ]


@settings(max_examples=100)
@given(close_to_names)
def test_valid_subdomains_match_kubernetes_regular_expression(name: str) -> None:
    assert (not names.is_dns1123_subdomain(name)) == bool(REFERENCE_SUBDOMAIN.fullmatch(name))


@settings(max_examples=100)
@given(close_to_names)
def test_valid_qualified_names_match_kubernetes_regular_expression(text: str) -> None:
    *prefix, name = text.split("/")
    fine = len(prefix) <= 1 and len(name.encode()) <= 63 and bool(REFERENCE_QUALIFIED.fullmatch(name))
    if prefix:
        fine = fine and bool(REFERENCE_SUBDOMAIN.fullmatch(prefix[0]))
    assert (not names.is_qualified_name(text)) == fine


def test_long_invalid_names_take_linear_time() -> None:
    for check in (names.is_dns1123_subdomain, names.is_qualified_name, names.is_dns1123_subdomain_with_underscore):
        assert check("a-" * 100_000 + "!")
        assert check("a" * 200_000 + "!")


@settings(max_examples=200)
@given(st.lists(close_to_names | st.sampled_from(["a", "example.com/a", "x" * 63, "a" * 64]), max_size=4))
def test_many_names_are_valid_when_each_is(texts: list[str]) -> None:
    short = all(len(text) <= 63 for text in texts)
    assert names.are_short_qualified_names(texts) == (short and not any(map(names.is_qualified_name, texts)))
    assert names.are_label_values(texts) == (short and not any(map(names.is_label_value, texts)))
