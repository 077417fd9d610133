"""The distribution of the tests over workers names files that exist, and keeps together what shares processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.distribution import LONGEST, UNITS, place_of, unit_of

ROOT = Path(__file__).parents[2]
FILES = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").rglob("test_*.py"))]
CASES = ("", "[sqlite-current-named]", "[etcd-three-members]", "[etcd-one-member]")
TESTS = [f"{file}::test_it{case}" for file in FILES for case in CASES]


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in UNITS])
def test_each_pattern_is_that_of_tests(pattern: str) -> None:
    assert any(re.match(pattern, test) for test in TESTS)


@pytest.mark.parametrize("beginning", LONGEST)
def test_each_unit_that_begins_early_exists(beginning: str) -> None:
    assert any(unit_of(test).startswith(beginning) for test in TESTS)


def test_a_unit_is_a_file_unless_the_table_says_otherwise() -> None:
    file = "tests/cel/test_language.py"
    assert unit_of(f"{file}::test_one[a-b::c]") == unit_of(f"{file}::test_other") == file
    assert unit_of("tests/faults/test_disk.py::test_a_full_disk") == "tests/faults/test_disk.py::test_a_full_disk"
    on_etcd = {unit_of(f"tests/kubectl/test_{name}.py::test_it[etcd-old-named]") for name in ("reading", "writing")}
    assert on_etcd == {"kubectl: etcd"}
    assert place_of("tests/kubectl/test_reading.py::test_it[sqlite]") < place_of("tests/cli/test_flags.py::test_it")
    assert place_of("tests/cli/test_flags.py::test_it") < place_of("tests/api/test_names.py::test_it")
