"""Parsing of flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from kcp.cli.flags import DurationType, Flag, OptionFlags, shown_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1.5s", 1.5), ("2d", 172800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert DurationType().convert(text, None, None) == pytest.approx(seconds)


def test_a_duration_needs_a_unit_except_where_kube_apiserver_takes_seconds() -> None:
    with pytest.raises(click.BadParameter, match='"24" has no unit: 24s are seconds, 24h hours'):
        DurationType().convert("24", None, None)
    assert DurationType(plain_seconds=True).convert("1800", None, None) == 1800


@pytest.mark.parametrize("text", ["", "s", "-1s", "1x", "1 s", "1h30", "१s"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        DurationType().convert(text, None, None)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0s"), (0.25, "0.25s"), (90.0, "90s"), (120.0, "2m"), (7200.0, "2h")]
)
def test_a_default_is_shown_as_a_user_would_write_it(seconds: float, text: str) -> None:
    assert shown_duration(seconds) == text
    assert DurationType().convert(text, None, None) == seconds


@dataclass(frozen=True)
class Options:
    """Options of each type that a flag may have."""

    file: Path | None = None
    names: tuple[str, ...] = ("a",)
    wait: float = 300.0
    strict: bool = True
    count: int = 3
    hidden: str = "as declared"


FLAGS = OptionFlags(
    "Options",
    Options,
    {f"--a-{name}": Flag(name, f"The {name}.") for name in ("file", "names", "wait", "strict", "count")},
)


def taken(*arguments: str) -> Options:
    command: click.Command = FLAGS(click.command()(lambda **_: None))  # type: ignore[assignment]
    choices = dict(command.make_context("a", list(arguments)).params)
    options = FLAGS.take(choices)
    assert not choices
    return options


def test_flags_of_a_group_give_its_options() -> None:
    assert taken() == Options()
    given = taken("--a-file", "f", "--a-names", "b,c", "--a-wait", "1h", "--a-strict=false", "--a-count", "0")
    assert given == Options(Path("f"), ("b", "c"), 3600.0, strict=False, count=0)
    with pytest.raises(click.UsageError, match="-1 is not in the range"):
        taken("--a-count", "-1")
