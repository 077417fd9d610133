"""Compressed documents are what they were."""

from __future__ import annotations

import gzip
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from kcp.registry.documents.packing import PackedDocument, PackedParts

PARTS = st.lists(st.tuples(st.binary(max_size=9), st.integers(0, 90_000)), max_size=5)
"""Byte strings, and how often each is repeated."""


@given(PARTS)
def test_a_document_is_decompressed_in_pieces(repeated: list[tuple[bytes, int]]) -> None:
    parts = [text * times for text, times in repeated]
    whole = b"".join(parts)
    packed = PackedDocument.of(parts)
    pieces = list(packed.pieces())
    assert b"".join(pieces) == packed.body == gzip.decompress(packed.gzip) == whole
    assert all(len(piece) <= 256 * 1024 for piece in pieces)
    assert packed.length == len(whole)
    assert packed.etag == f'"{hashlib.sha512(whole).hexdigest().upper()}"'


@given(PARTS)
def test_parts_are_kept_apart(repeated: list[tuple[bytes, int]]) -> None:
    parts = [text * times for text, times in repeated]
    assert list(PackedParts.of(parts).unpack()) == parts
