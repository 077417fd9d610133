"""A schema made ready for use, kept by its content.

Equal schemas in a thousand logical clusters are one CompiledSchema; nothing is kept per cluster. Compiling reads nothing but
the root: see kcp.schema.nodes.
"""

import hashlib
from collections import OrderedDict
from functools import cached_property
from typing import Any, Final

import orjson

from kcp.api.field_errors import FieldError
from kcp.schema.checking import check_of, holds
from kcp.schema.correlation import Correlation
from kcp.schema.defaulting import defaulter
from kcp.schema.explaining import explain
from kcp.schema.nodes import root_node
from kcp.schema.pruning import pruner
from kcp.schema.walking import embedded_errors, list_errors

_KEEP_EVERYTHING: Final[dict[str, Any]] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_CACHE_SIZE: Final = 1024


class CompiledSchema:
    """What a schema does to the objects of its type."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.root = root_node(raw)
        self._prune = pruner(self.root)
        self._default = defaulter(self.root)

    def prune(self, obj: dict[str, Any], unknown: list[str] | None = None) -> None:
        """Remove fields that the schema does not know, in place; their paths (``spec.list[2].bar``) go into ``unknown``, sorted."""
        found = self._prune(obj)
        if found and unknown is not None:
            unknown += sorted(path[1:] for path in found)

    def default(self, obj: dict[str, Any]) -> None:
        """Fill in defaults, in place; a null that the schema does not allow gives way to its default or is removed."""
        self._default(obj)

    @cached_property
    def _check(self) -> Any:
        return check_of(self.root)

    def validate(self, obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[FieldError]:
        """What is wrong with an object; on an update, errors of values that did not change are left out."""
        if holds(self._check, obj):
            return []
        correlation = Correlation(obj, old, self.root) if old is not None else None
        found = explain(self.root, obj, "", correlation).errors
        found = found + embedded_errors(self.root, obj)
        if old is None or not list_errors(self.root, old):
            found += list_errors(self.root, obj)
        return found


_cache: "OrderedDict[bytes, CompiledSchema]" = OrderedDict()


def compile_schema(raw: dict[str, Any] | None) -> CompiledSchema:
    """The compiled form of a raw schema; None stands for a schema that keeps everything. Kept by content, least recently used out."""
    if raw is None:
        raw = _KEEP_EVERYTHING
    key = hashlib.blake2b(orjson.dumps(raw), digest_size=20).digest()
    compiled = _cache.get(key)
    if compiled is None:
        compiled = _cache[key] = CompiledSchema(raw)
        if len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    else:
        _cache.move_to_end(key)
    return compiled
