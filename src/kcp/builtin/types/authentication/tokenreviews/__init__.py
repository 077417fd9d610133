"""TokenReviews (authentication.k8s.io/v1)."""

from __future__ import annotations

from typing import Any

from kcp.api import errors
from kcp.auth.authentication.authenticator import resolved
from kcp.auth.users import user_info
from kcp.builtin.fields import mapping, text, texts
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object


class TokenReviewStrategy(BuiltinStrategy):
    """Answers with the user that a bearer token authenticates."""

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        spec = mapping(obj, "spec")
        token = text(spec, "token")
        if not token:
            raise errors.bad_request("token is required for TokenReview in authentication")
        user = await resolved(self.context.tokens.authenticate_token(token.encode(), context.cluster))
        if user is None:
            status: dict[str, Any] = {"user": {}, "error": "invalid bearer token"}
        else:
            status = {"authenticated": True, "user": user_info(user)}
            if audiences := texts(spec, "audiences"):
                status["audiences"] = audiences
        return {**obj, "status": status}
