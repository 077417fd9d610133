"""Lists that are converted chunk by chunk read as if they had been converted as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.api import documents
from kcp.registry.representations.framing import JSONList
from kcp.registry.verbs.representation import ListForm, ListPieces
from kcp.server.requests.list_forms import PrettyList, YAMLList
from tests.support.lists import whole_list

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=4)
chunks = st.lists(st.lists(objects, min_size=1, max_size=3), max_size=3)


def whole_json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def whole_pretty(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@pytest.mark.parametrize(
    ("form_of", "whole"),
    [(JSONList, whole_json), (PrettyList, whole_pretty), (YAMLList, documents.encode_yaml)],
    ids=["JSON", "pretty", "YAML"],
)
@pytest.mark.parametrize("name", ["items", "rows"])
@given(found=chunks)
def test_chunks_convert_as_the_whole_does(
    form_of: Callable[[bytes], ListForm], whole: Callable[[Any], bytes], name: str, found: list[list[Any]]
) -> None:
    head = {"kind": "WidgetList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}}
    form = form_of(orjson.dumps(head)[:-1] + b',"%b":[' % name.encode())
    written = whole_list(ListPieces(form, [[orjson.dumps(item) for item in chunk] for chunk in found]))
    assert written == whole({**head, name: [item for chunk in found for item in chunk]})
