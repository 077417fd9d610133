"""SelfSubjectReviews (authentication.k8s.io/v1)."""

from __future__ import annotations

from kcp.auth.users import user_info
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object


class SelfSubjectReviewStrategy(BuiltinStrategy):
    """Answers with the user of the request."""

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        return {**obj, "status": {"userInfo": user_info(context.user)}}
