"""Limits on the JSON that a YAML document represents: aliases make it larger than the document.

The extent of an anchored value is known before an alias copies it, so an alias beyond a limit is never expanded. One limit is
in bytes of JSON; the other is goyaml's rule on the ratio of aliased nodes (decode.go, allowedAliasRatio).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kcp.api.yaml_input import YAMLError

_FEW_ALIASED: Final = 100
_FEW_NODES: Final = 1000
_RATIO_FROM: Final = 400_000
_RATIO_TO: Final = 4_000_000
"""The allowed ratio falls between these numbers of nodes."""
_HIGHEST_RATIO: Final = 0.99
_LOWEST_RATIO: Final = 0.10


class ExpansionError(YAMLError):
    """The document's JSON is larger than the limit."""


class Extent(NamedTuple):
    """The size of a value: bytes of JSON including the separator that follows, nodes (keys included), levels of nesting."""

    size: int
    nodes: int
    levels: int


def check_ratio(aliased: int, nodes: int) -> None:
    """Check the ratio of aliased nodes to all nodes of a document. Raises YAMLError."""
    if aliased <= _FEW_ALIASED or nodes <= _FEW_NODES:
        return
    share = min(max(nodes - _RATIO_FROM, 0) / (_RATIO_TO - _RATIO_FROM), 1.0)
    if aliased / nodes > _HIGHEST_RATIO - (_HIGHEST_RATIO - _LOWEST_RATIO) * share:
        raise YAMLError("yaml: document contains excessive aliasing")
