"""Cells of table rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

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
        ("number", 5, 5), ("number", 1.5, 1.5), ("number", "1", None),
        ("boolean", False, False), ("boolean", "true", None),
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
