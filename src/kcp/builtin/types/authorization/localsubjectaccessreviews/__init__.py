"""LocalSubjectAccessReviews (authorization.k8s.io/v1)."""

from __future__ import annotations

from typing import ClassVar

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import mapping, text
from kcp.builtin.types.authorization.access_reviews import AccessReviewStrategy
from kcp.registry.types.strategies import Object


class LocalSubjectAccessReviewStrategy(AccessReviewStrategy):
    """Access reviews that a namespace's own users may be allowed to make: about resources in that namespace only."""

    kind: ClassVar[str] = "LocalSubjectAccessReview"
    ignored_metadata: ClassVar[frozenset[str]] = frozenset({"managedFields", "namespace"})
    metadata_problem: ClassVar[str] = "must be empty except for namespace"

    def review_errors(self, obj: Object) -> list[FieldError]:
        return super().review_errors(obj) + _local_errors(obj, mapping(obj, "spec"))


def _local_errors(obj: Object, spec: Object) -> list[FieldError]:
    if "nonResourceAttributes" in spec:
        why = "disallowed on this kind of request"
        return [field_errors.invalid("spec.nonResourceAttributes", spec["nonResourceAttributes"], why)]
    namespace = text(mapping(spec, "resourceAttributes"), "namespace")
    if namespace != text(obj["metadata"], "namespace"):
        return [field_errors.invalid("spec.resourceAttributes.namespace", namespace, "must match metadata.namespace")]
    return []
