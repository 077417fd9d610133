"""TokenReviews (authentication.k8s.io/v1)."""

from __future__ import annotations

from typing import Any

from kcp.api import errors
from kcp.auth.users import user_info
from kcp.builtin.fields import mapping, text, texts
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object


class TokenReviewStrategy(BuiltinStrategy):
    """Answers with the user that a bearer token authenticates, and the requested audiences that it is valid for."""

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        spec = mapping(obj, "spec")
        token = text(spec, "token")
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        try:
            found = await self.context.tokens.review_token(token.encode(), context.cluster, texts(spec, "audiences"))
        except errors.StatusError as error:
            return {**obj, "status": _refused(error.message)}
        if found is None:
            return {**obj, "status": _refused("invalid bearer token")}
        status: dict[str, Any] = {"authenticated": True, "user": user_info(found.user)}
        if found.audiences:
            status["audiences"] = list(found.audiences)
        return {**obj, "status": status}


def _refused(why: str) -> dict[str, Any]:
    return {"user": {}, "error": why}
