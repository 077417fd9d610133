"""Compiled schemas, cached by content.

Equal schemas share one CompiledSchema across all logical clusters. Compiling reads only the root: see kcp.schema.nodes.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import orjson

from kcp.api import errors, field_errors
from kcp.api.field_errors import FieldError
from kcp.schema.correlation import Correlation
from kcp.schema.defaulting import defaulter
from kcp.schema.error_limits import NO_PATH, limited
from kcp.schema.error_reporting import collect_errors
from kcp.schema.extension_validation import MayRepeat, embedded_errors, list_errors
from kcp.schema.fast_validation import check_of, holds
from kcp.schema.nodes import root_node
from kcp.schema.pruning import MAX_PATHS, pruner

_KEEP_EVERYTHING: Final[dict[str, Any]] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TOO_DEEP: Final = "the object is nested too deeply"
_CACHE_SIZE: Final = 1024


class CompiledSchema:
    """Prunes, defaults and validates the objects of a schema."""

    def __init__(self, raw: dict[str, Any], *, may_have_rules: bool = True, of_go_type: bool = False) -> None:
        self.raw = raw
        self._may_have_rules = may_have_rules
        self.root = root_node(raw, of_go_type=of_go_type)
        self._prune = pruner(self.root)
        self._default = defaulter(self.root)

    def prune(self, obj: dict[str, Any], unknown: list[str] | None = None) -> None:
        """Remove unknown fields in place; their paths (``spec.list[2].bar``) are appended to ``unknown``, sorted."""
        try:
            found = self._prune(obj)
        except RecursionError:
            raise errors.bad_request(_TOO_DEEP) from None
        if found and unknown is not None:
            unknown += sorted(path[1:] for path in found)[:MAX_PATHS]

    def default(self, obj: dict[str, Any]) -> None:
        """Apply defaults in place; a null that is not nullable is replaced by its default or removed."""
        try:
            self._default(obj)
        except RecursionError:
            raise errors.bad_request(_TOO_DEEP) from None

    @cached_property
    def _has_rules(self) -> bool:
        if not self._may_have_rules:
            return False
        from kcp.schema.validation_rules import has_rules

        return has_rules(self.root)

    @cached_property
    def _check(self) -> Any:
        return check_of(self.root)

    def default_missing(self, obj: dict[str, Any], name: str) -> None:
        """Apply the default of a field of the root that the object does not have, in place."""
        if name not in obj and name in self.root.property_schemas and self.root.default_of(name) is not None:
            self.default(obj)

    def precompute(self) -> None:
        """Compute in advance what the first validation needs of the whole schema."""
        _ = self._has_rules

    def validate(
        self,
        obj: dict[str, Any],
        old: dict[str, Any] | None = None,
        warnings: list[str] | None = None,
        may_repeat: MayRepeat | None = None,
    ) -> list[FieldError]:
        """Validate an object; an update does not report errors of unchanged values (KEP-4008).

        The errors of CEL rules that are not reported are appended to ``warnings``. ``may_repeat`` tells which lists may have
        repeated items.
        """
        found: list[FieldError] = []
        try:
            if not self.accepts(obj):
                found = self.errors(obj, old, may_repeat)
            if self._has_rules:
                found += self.rule_errors(obj, old, found, warnings)
        except RecursionError:
            return [field_errors.forbidden(NO_PATH, _TOO_DEEP)]
        return limited(found)

    def accepts(self, obj: Any) -> bool:
        """Whether the object is valid, CEL rules aside."""
        return holds(self._check, obj)

    def errors(self, obj: Any, old: Any = None, may_repeat: MayRepeat | None = None) -> list[FieldError]:
        """The validation errors of an object, CEL rules aside."""
        correlation = Correlation(obj, old, self.root) if old is not None else None
        found = collect_errors(self.root, obj, "", correlation).errors
        found = found + embedded_errors(self.root, obj)
        if old is None or not list_errors(self.root, old, may_repeat):
            found += list_errors(self.root, obj, may_repeat)
        return found

    def rule_errors(
        self, obj: Any, old: Any = None, found: Sequence[FieldError] = (), warnings: list[str] | None = None
    ) -> list[FieldError]:
        """The errors of the CEL rules, given the other errors of the object."""
        if not self._has_rules:
            return []
        from kcp.schema.validation_rules import rule_errors

        correlation = Correlation(obj, old, self.root) if old is not None else None
        return rule_errors(self.root, obj, old, correlation, found, warnings)


_cache: "OrderedDict[tuple[bytes, bool], CompiledSchema]" = OrderedDict()


def compile_schema(raw: dict[str, Any] | None, *, of_go_type: bool = False) -> CompiledSchema:
    """Compile a raw schema, or take it from the cache; None means a schema that preserves and accepts everything.

    ``of_go_type`` is that of `kcp.schema.nodes.Scope`.
    """
    if raw is None:
        raw = _KEEP_EVERYTHING
    content = orjson.dumps(raw)
    key = hashlib.blake2b(content, digest_size=20).digest(), of_go_type
    compiled = _cache.get(key)
    if compiled is None:
        compiled = _cache[key] = CompiledSchema(
            raw, may_have_rules=b"x-kubernetes-validations" in content, of_go_type=of_go_type
        )
        if len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    else:
        with suppress(KeyError):  # another thread may have evicted it
            _cache.move_to_end(key)
    return compiled
