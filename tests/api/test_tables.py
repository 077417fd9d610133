"""Cells of table rows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import numbers, tables


def cell(kind: Any, value: Any) -> Any:
    column = tables.Column.from_definition({"name": "C", "type": kind, "jsonPath": ".v"})
    return column.cell({} if value is ... else {"v": value})


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("string", "a", "a"), ("string", 5, "5"), ("string", 1.5, "1.5"), ("string", 1e6, "1e+06"), ("string", True, "true"),
        ("string", [1, {"b": "<", "a": 2}], '[1,{"a":2,"b":"\\u003c"}]'), ("string", ..., None), ("string", None, "<no value>"),
        ("integer", 5, 5), ("integer", 5.7, 5), ("integer", "5", None), ("integer", True, None),
        ("integer", 10**19, 2**63 - 1), ("integer", 1e21, 2**63 - 1), ("integer", -1e300, -(2**63)),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("number", 2**64 - 1, 1.8446744073709552e19), ("number", 1e300, 1e300), ("string", 2**64 - 1, "18446744073709551615"),
        ("number", 5, 5), ("number", 1.5, 1.5), ("number", "1", None),
        ("boolean", False, False), ("boolean", "true", None),
        ("date", "0001-01-01T00:00:00+14:00", "292y"),
        ("date", "soon", "<invalid>"), ("date", "", "<unknown>"), ("date", 5, None), ("date", ..., None),
    ],
)  # fmt: skip
def test_cells_have_the_type_of_their_column(kind: str, value: Any, shown: Any) -> None:
    assert cell(kind, value) == shown
    assert type(cell(kind, value)) is type(shown)


def test_dates_are_shown_as_ages() -> None:
    then = datetime.now(UTC) - timedelta(minutes=5, seconds=2)
    assert cell("date", then.strftime("%Y-%m-%dT%H:%M:%SZ")) in ("5m2s", "5m3s")


def test_a_cell_shows_the_first_of_several_values() -> None:
    column = tables.Column.from_definition({"name": "C", "type": "string", "jsonPath": ".v[*].n"})
    assert column.cell({"v": [{"n": "x"}, {"n": "y"}]}) == "x"


def test_column_definitions() -> None:
    column = tables.Column.from_definition({"name": "C", "type": "date", "jsonPath": ".v", "priority": 1})
    assert column.definition() == {
        "name": "C",
        "type": "date",
        "format": "",
        "description": "Custom resource definition column (in JSONPath format): .v",
        "priority": 1,
    }


MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-2, "<invalid>"), (-1, "0s"), (0, "0s"), (119.9, "119s"), (2 * MINUTE, "2m"), (125, "2m5s"), (10 * MINUTE + 5, "10m"),
        (3 * HOUR - 1, "179m"), (3 * HOUR, "3h"), (8 * HOUR - 1, "7h59m"), (8 * HOUR, "8h"), (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"), (3 * DAY + 2 * HOUR, "3d2h"), (8 * DAY - 1, "7d23h"), (8 * DAY + HOUR, "8d"), (729 * DAY, "729d"),
        (730 * DAY, "2y"), (731 * DAY, "2y1d"), (8 * 365 * DAY + DAY, "8y"),
    ],
)  # fmt: skip
def test_durations_are_short(seconds: Any, shown: str) -> None:
    assert tables.human_duration(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (100.0, "100"),
        (123456.0, "123456"),
        (1234567.0, "1.234567e+06"),
        (0.0001, "0.0001"),
        (1e-5, "1e-05"),
    ],
)
def test_floats_are_printed_as_go_prints_them(value: float, shown: str) -> None:
    assert numbers.format_float(value) == shown


def columns(*paths: str) -> Sequence[tables.Column]:
    return tables.columns_of([{"name": path, "type": "string", "jsonPath": path} for path in paths])


@pytest.mark.parametrize("path", ["..*", ".a[", "{", ".a[x]", "[?(" * 1_300])
def test_columns_end_before_an_invalid_path(path: str) -> None:
    assert [column.name for column in columns(".a", path, ".b")] == [".a"]


def test_a_column_through_lists_shows_the_list_of_the_first_item() -> None:
    route = {"spec": {"http": [{"match": {"hosts": ["x.example.com", "y.example.com"]}}, {"match": {"hosts": ["z"]}}]}}
    through_lists, descent, empty = columns(".spec.http[].match.hosts", "...", ".spec.http[].match.none")
    assert through_lists.cell(route) == '["x.example.com","y.example.com"]'
    assert descent.cell(route) is None
    assert empty.cell(route) is None


any_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-01T00:00:00Z", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", ""]), inner, max_size=3),
    max_leaves=8,
)
paths = st.lists(
    st.sampled_from(
        [".a", ".b", "..", ".", "[0]", "[-1]", "[]", "[*]", "[1:]", "[0:9]", "[?(@.a)]", "[?(@.a>1)]", "['a']"]
    ),
    min_size=1,
    max_size=5,
).map("".join)


@settings(max_examples=300)
@given(any_value, paths, st.sampled_from(["string", "integer", "number", "boolean", "date"]))
def test_every_cell_can_be_computed_and_written(value: Any, path: str, kind: str) -> None:
    for column in tables.columns_of([{"name": "C", "type": kind, "jsonPath": path}]):
        orjson.dumps(column.cell({"a": value, "b": [value]}))
