"""The field's words: names and phrases that have a better-known equivalent are not used, in code, tests or pages."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SEARCHED = (
    "src",
    "tests",
    "bench",
    "devtools",
    "examples",
    "docs",
    "contrib",
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)
INSTEAD = {
    r"between_turns|last_turn|\bTurns\b|turns\.kcp\.io": "serialized writes: a lock and a fencing key",
    r"\bjudged?\b.*\bbeside|\bjudged_": "writes_are_serialized; validated",
    r"\b[Rr]ehears": "precompute",
    r"\bupheld\b": "retried on stale state",
    r"accepting_(content|objects)": "the condition under which new objects are accepted",
    r"\bOnItsWay\b|on its way (in|out)\b": "pending; terminating",
    r"\bhand_over\b|\bpass_on\b|\b_sort_out\b": "deliver, push, route",
    r"\b_spare_the_collector\b": "tune garbage collection",
    r"\b_unlooked\b": "unchecked",
    r"\bfacts\.py\b|\bexplaining\.py\b|\bchecking\.py\b|\bmoving\.py\b": "a name that says what the module is about",
    r"\b[Ss]trangers?\b": "unprivileged users",
    r"\bBegin of\b|\bthe begin of\b": "prefix, start",
    r"\banew\b": "again",
    r"looks? at whether|two looks at": "checks",
    r"\bnobody to go\b|\bby who (only|looks)\b": "name the subject",
    r"\brests? on\b": "depends on",
}


@cache
def lines() -> list[tuple[str, str]]:
    """The lines of all files that are searched, each with its place."""
    listed = subprocess.run(["git", "ls-files", *SEARCHED], cwd=ROOT, capture_output=True, text=True, check=True)
    return [
        (f"{name}:{number}", line)
        for name in listed.stdout.splitlines()
        if name.endswith((".py", ".md", ".sh")) and (ROOT / name) != Path(__file__)
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
    ]


@pytest.mark.parametrize("pattern", INSTEAD)
def test_a_word_of_the_field_is_used(pattern: str) -> None:
    wrong = re.compile(pattern)
    found = [f"{place}: {line.strip()}" for place, line in lines() if wrong.search(line)]
    assert found == [], f"say instead: {INSTEAD[pattern]}"
