"""Cache of schema validation results and warnings, by content.

The conditions and the validation of a definition ask for the same results, and so does every later update of its status. The
validation of a large schema takes long, so a thread runs it before the write (see ``precompute`` of the type's strategy), which
then finds the results here.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import orjson

from kcp.schema.raw_schemas import Raw

_CACHE_SIZE: Final = 128
_Options = ParamSpec("_Options")
_Result = TypeVar("_Result")
_Validate = Callable[Concatenate[Raw, _Options], list[_Result]]


class _Content:
    """A schema as a cache key. Equality is by content; only the computation of a result needs the schema itself."""

    __slots__ = ("digest", "raw")

    def __init__(self, raw: Raw) -> None:
        self.digest = hashlib.blake2b(orjson.dumps(raw), digest_size=20).digest()
        self.raw: Raw | None = raw

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self.digest == other.digest

    def take(self) -> Raw:
        """Return the schema and drop the reference, so that the cache does not hold it."""
        raw, self.raw = self.raw, None
        assert raw is not None
        return raw


def cached_by_content(validate: _Validate[_Options, _Result]) -> _Validate[_Options, _Result]:
    """Cache the latest results of a function that validates a schema. The other arguments must be hashable. Thread-safe."""

    @lru_cache(_CACHE_SIZE)
    def by_content(content: _Content, args: tuple[Any, ...], options: tuple[tuple[str, Any], ...]) -> list[_Result]:
        return validate(content.take(), *args, **dict(options))

    def cached(raw: Raw, /, *args: _Options.args, **options: _Options.kwargs) -> list[_Result]:
        try:
            content = _Content(raw)
        except TypeError:  # not serializable: nested too deeply, or integers beyond 64 bits
            return validate(raw, *args, **options)
        return list(by_content(content, args, tuple(options.items())))

    return cached
