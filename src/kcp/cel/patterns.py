"""Regular expressions in RE2 syntax, which Go's ``regexp`` has, matched in linear time."""

from functools import lru_cache
from typing import Any, Final

_CACHE_SIZE: Final = 4096


@lru_cache(_CACHE_SIZE)
def compile_pattern(pattern: str) -> Any:
    """Compile a regular expression, or take it from the cache. Raises ValueError with the message of Go's ``regexp``."""
    import re2  # takes 2 MB, which a server needs only if a schema has patterns

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0] if error.args else "invalid"
        if isinstance(reason, bytes):
            reason = reason.decode("utf-8", "replace")
        raise ValueError(
            f"error parsing regexp: {reason}" if reason else f"error parsing regexp: `{pattern}`"
        ) from None
