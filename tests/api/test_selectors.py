"""Label and field selectors: grammar, matching, canonical text."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import selectors

keys = st.from_regex(r"([a-z]{1,3}/)?[a-zA-Z0-9]([-_.a-z]{0,3}[a-z])?", fullmatch=True)
values = st.from_regex(r"([a-zA-Z0-9]([-_.a-z]{0,3}[a-z])?)?", fullmatch=True)
requirements = st.one_of(
    st.builds(selectors.Requirement, keys, st.sampled_from(["=", "==", "!="]), st.tuples(values)),
    st.builds(selectors.Requirement, keys, st.sampled_from(["exists", "!"]), st.just(())),
    st.builds(selectors.Requirement, keys, st.sampled_from([">", "<"]), st.tuples(st.integers(0, 99).map(str))),
    st.builds(
        selectors.Requirement,
        keys,
        st.sampled_from(["in", "notin"]),
        st.sets(values, min_size=1, max_size=3).map(lambda chosen: tuple(sorted(chosen))),
    ),
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("a", "a"),
        (" b = c ,\ta", "a,b=c"),
        ("!a", "!a"),
        ("x in (b, a,b)", "x in (a,b)"),
        ("x notin (a,,b)", "x notin (,a,b)"),
        ("x in ()", "x in ()"),
        ("a=", "a="),
        ("a==b", "a==b"),
        ("a>1,b<2", "a>1,b<2"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("notin", "notin"),
    ],
)
def test_texts_have_a_canonical_form(text: str, canonical: str) -> None:
    assert str(selectors.parse_label_selector(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "a>x",
            (
                'unable to parse requirement: values[0]: Invalid value: "x": '
                "for 'Gt', 'Lt' operators, the value must be an integer"
            ),
        ),
    ],
)
def test_invalid_selectors_have_kubernetes_messages(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        selectors.parse_label_selector(text)


def test_keys_and_values_follow_the_rules_of_labels() -> None:
    with pytest.raises(ValueError, match=r'^unable to parse requirement: <nil>: Invalid value: "-a": name part must'):
        selectors.parse_label_selector("-a")
    with pytest.raises(ValueError, match=r'^unable to parse requirement: values\[0\]\[a\]: Invalid value: "b/c"'):
        selectors.parse_label_selector("a=b/c")


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a=b", {}, False),
        ("a=", {}, False),
        ("a=", {"a": ""}, True),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b,c)", {"a": "c"}, True),
        ("a notin (b,c)", {"a": "c"}, False),
        ("a notin (b,c)", {}, True),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a>1", {"a": "2"}, True),
        ("a>1", {"a": "10000000000000000000"}, False),
        ("a<1", {"a": "-5"}, True),
        ("a>1", {"a": "two"}, False),
        ("a=b,c!=d,e", {"a": "b", "e": ""}, True),
        ("a=b,c!=d,e", {"a": "b", "e": "", "c": "d"}, False),
    ],
)
def test_selectors_match_labels(text: str, labels: dict[str, Any], expected: bool) -> None:
    assert selectors.parse_label_selector(text).matches(labels) is expected


@settings(max_examples=80)
@given(st.lists(requirements, max_size=4))
def test_the_canonical_text_parses_to_the_same_selector(given_requirements: Any) -> None:
    selector = selectors.LabelSelector(given_requirements)
    again = selectors.parse_label_selector(str(selector))
    assert again == selector
    assert hash(again) == hash(selector)


@settings(max_examples=100)
@given(st.text(alphabet="abin=!<>(),./\\ \t-é\0", max_size=20))
def test_the_parsers_handle_any_text(text: str) -> None:
    for parse in (selectors.parse_label_selector, selectors.parse_field_selector):
        try:
            selector = parse(text)
        except ValueError:
            continue
        assert parse(str(selector)) == selector
        selector.matches({"a": "b"})


def test_a_selector_object_is_validated_field_by_field() -> None:
    broken = {
        "matchLabels": {"-": "a"},
        "matchExpressions": [
            {"key": "a", "operator": "In"},
            {"key": "a", "operator": "Exists", "values": ["b"]},
            {"key": "", "operator": "Near", "values": ["/"]},
        ],
    }
    found = [(error.field, error.type) for error in selectors.validate_label_selector(broken, "spec.selector")]
    assert found == [
        ("spec.selector.matchLabels", "FieldValueInvalid"),
        ("spec.selector.matchExpressions[0].values", "FieldValueRequired"),
        ("spec.selector.matchExpressions[1].values", "FieldValueForbidden"),
        ("spec.selector.matchExpressions[2].operator", "FieldValueInvalid"),
        ("spec.selector.matchExpressions[2].key", "FieldValueInvalid"),
        ("spec.selector.matchExpressions[2].key", "FieldValueInvalid"),
        ("spec.selector.matchExpressions[2].values[0]", "FieldValueInvalid"),
    ]


def test_field_selectors_escape_separators() -> None:
    selector = selectors.parse_field_selector(r"b!=c,a==x\,y\=z\\,,")
    assert selector.requirements == (("a", "=", r"x,y=z" + "\\"), ("b", "!=", "c"))
    assert str(selector) == r"a=x\,y\=z\\,b!=c"
    assert selector.matches({"a": r"x,y=z" + "\\"})
    assert not selector.matches({"a": r"x,y=z" + "\\", "b": "c"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        (r"a=\b", r"invalid field selector: invalid escape sequence: \b"),
        ("a=\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_invalid_field_selectors(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        selectors.parse_field_selector(text)


@settings(max_examples=80)
@given(st.text(max_size=10))
def test_any_value_can_be_selected_by_field(value: Any) -> None:
    selector = selectors.parse_field_selector(f"a={selectors.escape_field_value(value)}")
    assert selector.requirements == (("a", "=", value),)


terms = st.sampled_from(
    ["a", "!a", "a=1", "a!=1", "a in (1,2)", "a notin (1,2)", "a>1", "a<3", "b", "!b", "b=2", "b!=2", "b in (1,3)", "c"]
)


@settings(max_examples=300)
@given(
    st.lists(terms, min_size=1, max_size=6),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["", "1", "2", "3", "x"]), max_size=4),
)
def test_a_selector_matches_what_each_of_its_requirements_matches(texts: Any, labels: Any) -> None:
    selector = selectors.parse_label_selector(",".join(texts))
    alone = [selectors.parse_label_selector(text).matches(labels) for text in texts]
    assert selector.matches(labels) is all(alone)


def test_requirements_on_one_field_that_exclude_each_other_match_nothing() -> None:
    assert not selectors.parse_field_selector("a=1,a=2").matches({"a": "1"})
    assert not selectors.parse_field_selector("a=1,a!=1").matches({"a": "1"})
    assert selectors.parse_field_selector("a!=2,a!=3").matches({"a": "1"})
    assert not selectors.parse_field_selector("a!=2,a!=").matches({})


def test_a_selector_has_at_most_a_thousand_requirements() -> None:
    labels = {f"k{index}": "v" for index in range(1_000)}
    assert selectors.parse_label_selector(",".join(f"{key}=v" for key in labels)).matches(labels)
    assert selectors.parse_label_selector(f"a in ({','.join(map(str, range(5_000)))})").matches({"a": "77"})
    with pytest.raises(
        ValueError, match=r"^unable to parse requirement: the selector has more than 1000 requirements$"
    ):
        selectors.parse_label_selector(",".join(f"k{index}!=v" for index in range(1_001)))
    assert selectors.parse_field_selector(",".join(f"f!={index}" for index in range(1_000))).matches({"f": "x"})
    with pytest.raises(ValueError, match=r"^invalid selector: it has more than 1000 requirements$"):
        selectors.parse_field_selector(",".join(f"f!={index}" for index in range(1_001)))
