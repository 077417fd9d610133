"""SubjectAccessReviews (authorization.k8s.io/v1)."""

from __future__ import annotations

from typing import ClassVar

from kcp.builtin.types.authorization.access_reviews import AccessReviewStrategy


class SubjectAccessReviewStrategy(AccessReviewStrategy):
    """SubjectAccessReviews."""

    kind: ClassVar[str] = "SubjectAccessReview"
