"""SubjectAccessReviews as a webhook gets them, and its answers.

Follows k8s.io/apiserver's ``plugin/pkg/authorizer/webhook``. A review says its logical cluster in ``spec.extra``, as no field of
Kubernetes has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision
from kcp.auth.users import User

GROUP: Final = "authorization.k8s.io"
VERSIONS: Final = ("v1", "v1beta1")
CLUSTER_NAME: Final = "authorization.kubernetes.io/cluster-name"
"""The key of the logical cluster in ``spec.extra``; a user's own value of it is not sent."""
_LONGEST_REASON: Final = 1024
"""Characters of a webhook's reason that a refusal shows."""

Spec = dict[str, Any]


class MalformedReviewError(Exception):
    """The webhook's answer is no valid SubjectAccessReview."""


def spec_of(user: User, attributes: AuthorizationAttributes) -> Spec:
    """Return the ``spec`` of a review, in the form of v1, without what is empty."""
    spec: Spec = {"user": user.name} if user.name else {}
    if user.groups:
        spec["groups"] = list(user.groups)
    if user.uid:
        spec["uid"] = user.uid
    spec["extra"] = {key: list(values) for key, values in user.extra.items()} | {CLUSTER_NAME: [attributes.cluster]}
    if attributes.is_resource:
        asked = {
            "namespace": attributes.namespace,
            "verb": attributes.verb,
            "group": attributes.group,
            "version": attributes.version,
            "resource": attributes.resource,
            "subresource": attributes.subresource,
            "name": attributes.name,
        }
        spec["resourceAttributes"] = {name: value for name, value in asked.items() if value}
    else:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    return spec


def review_of(spec: Spec, version: str) -> dict[str, Any]:
    """Return a review to post. v1beta1 has ``group`` in place of ``groups``."""
    if version == "v1beta1" and "groups" in spec:
        spec = {**{name: value for name, value in spec.items() if name != "groups"}, "group": spec["groups"]}
    return {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": spec,
        "status": {"allowed": False},
    }


def decision_of(answer: Mapping[str, Any], version: str) -> Decision:
    """Return the decision of an answer. Raises MalformedReviewError."""
    if answer.get("apiVersion") != f"{GROUP}/{version}" or answer.get("kind") != "SubjectAccessReview":
        raise MalformedReviewError(f"the webhook did not answer with a SubjectAccessReview of {GROUP}/{version}")
    status = answer.get("status")
    if not isinstance(status, Mapping):
        raise MalformedReviewError("the webhook answered with a SubjectAccessReview without a status")
    allowed, denied, reason = (status.get(name) or default for name, default in _STATUS)
    if not isinstance(allowed, bool) or not isinstance(denied, bool) or not isinstance(reason, str):
        raise MalformedReviewError("the webhook answered with a SubjectAccessReview whose status is malformed")
    if allowed and denied:
        raise MalformedReviewError("the webhook answered with both an allow and a deny response")
    return Decision(allowed, reason[:_LONGEST_REASON], denied)


_STATUS: Final = (("allowed", False), ("denied", False), ("reason", ""))
