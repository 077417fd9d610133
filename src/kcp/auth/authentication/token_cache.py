"""Results of authenticating tokens, by token and audiences.

Follows k8s.io/apiserver's ``pkg/authentication/token/cache``. A request for which there is no room gets 429.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from kcp.api import errors
from kcp.auth.result_cache import Outcome, Result, ResultCache, TooManyPendingError

_TOO_MANY: Final = "too many tokens are being authenticated at the same time, please try again later"


class TokenCache(ResultCache[Result]):
    """Results by token and audiences; None for a token that is not accepted."""

    async def compute(self, key: bytes, work: Callable[[], Awaitable[Outcome[Result]]]) -> Result | None:
        """Compute the result of a key, once for all that ask for it meanwhile. Raises what ``work`` raises, and 429."""
        try:
            return await super().compute(key, work)
        except TooManyPendingError:
            raise errors.too_many_requests(_TOO_MANY) from None
