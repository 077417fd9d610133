"""A list from its pieces, as the server sends it."""

from __future__ import annotations

from kcp.registry.verbs.representation import ListPieces


def whole_list(pieces: ListPieces) -> bytes:
    """Encode the slices, and put them into the form of the list."""
    encoded = [each if isinstance(each, list) else each.encode() for each in pieces.slices]
    filled = [items for items in encoded if items] or [[]]
    return b"".join(part for items in filled for part in pieces.form.piece(items, last=items is filled[-1]))
