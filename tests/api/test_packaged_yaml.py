"""The YAML files of kcp are read as PyYAML reads them, only faster."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import kcp
from kcp.api import packaged_yaml

FILES = sorted(Path(kcp.__file__).parent.rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_file_of_the_package_is_read_as_by_pyyaml(file: Path) -> None:
    """Values are the same, and members have the same order, which discovery and OpenAPI show."""
    read = packaged_yaml.load_all(file.read_bytes())
    assert repr(read) == repr(list(yaml.load_all(file.read_bytes(), Loader=yaml.CSafeLoader)))


def test_own_members_take_precedence_over_merged_ones() -> None:
    read = packaged_yaml.load(b"base: &base {a: 1, b: 2}\nother:\n  b: 3\n  <<: *base\n  c: 4\n")
    assert read["other"] == {"a": 1, "b": 3, "c": 4}


def test_aliases_of_an_anchor_are_one_object() -> None:
    read = packaged_yaml.load(b"one: &one {list: [1]}\ntwo: *one\n")
    assert read["one"] is read["two"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("a: 2026-11-28", id="a date"),
        pytest.param("a: 0777", id="an octal number"),
        pytest.param("a: yes", id="a boolean of YAML 1.1"),
        pytest.param("on: a", id="a key that is no string"),
        pytest.param("a: 1\n---\nb: 2", id="two documents"),
    ],
)
def test_what_would_be_read_differently_elsewhere_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match="file of kcp"):
        packaged_yaml.load(content.encode())
