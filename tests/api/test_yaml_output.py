"""YAML as it is written: the same bytes as PyYAML makes of a tree of nodes, without the tree."""

import re
import tracemalloc
from typing import Any

import orjson
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import documents
from kcp.api.yaml_documents import resolve
from tests.api.test_documents import data

BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
"""Numbers of YAML 1.1 that later versions do not know."""


class Dumper(yaml.CSafeDumper):
    """PyYAML's own way, with the same choice of quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _string(dumper: Any, value: str) -> Any:
    literal = "\n" in value and not value.isprintable() and not value[:1].isspace() and "\t" not in value
    misread = value == "<<" or type(resolve(value)) is not str or BASE_60.fullmatch(value)
    style = "|" if literal else '"' if misread else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


Dumper.add_representer(str, _string)

texts = st.text(st.sampled_from("ab<:#-?'\" \n\t\\é☃0123.e&*!|>%@`,[]{}~\x07"), max_size=8) | st.sampled_from(
    ["true", "null", "~", "2001-01-01", "1e3", "0x1f", "=", "y", "1_000"]
)
numbers = st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@settings(max_examples=300)
@given(values | data)
def test_documents_are_written_as_pyyaml_writes_them(value: Any) -> None:
    whole = yaml.dump(
        value, Dumper=Dumper, default_flow_style=False, allow_unicode=True, encoding="utf-8", width=1 << 20
    )
    assert documents.encode_yaml(value) == whole


def test_writing_takes_little_memory() -> None:
    value = {"data": {f"k{number:05}": "v" for number in range(20_000)}}
    tracemalloc.start()
    try:
        documents.encode_yaml(value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(orjson.dumps(value))  # a tree of nodes takes sixty times as much
