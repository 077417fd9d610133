"""The conditions of imports and negotiated resources. Pure functions."""

from __future__ import annotations

from kcp.multicluster.conditions import Condition
from kcp.multicluster.negotiation.comparisons import message_of
from kcp.multicluster.negotiation.decisions import Decision
from kcp.multicluster.negotiation.publishing import Serving

_ENFORCED = "a user has applied the CustomResourceDefinition; imports are compared with it"
_KEPT = "the API is not wanted any more, and stays until its objects are deleted"


def negotiated_conditions(
    decision: Decision, serving: Serving, *, publish: bool, refusal: str = "", kept: bool = False
) -> list[Condition]:
    """Return the conditions of a negotiated resource.

    ``refusal`` says why its version could not be submitted; ``kept``: whether objects keep the API from being withdrawn.
    """
    if refusal:
        submitted = Condition("Submitted", False, "DefinitionRefused", refusal)
    elif serving.reason == "NotSubmitted":
        reason = "Pending" if publish else "NotRequested"
        submitted = Condition("Submitted", False, reason, "" if publish else "spec.publish is false")
    else:
        submitted = Condition("Submitted", True, "DefinitionApplied" if not decision.enforced else "DefinitionOfUser")
    reason, message = ("ObjectsExist", _KEPT) if kept and serving.served else (serving.reason, serving.message)
    enforced = Condition("Enforced", False, "DefinitionNegotiated")
    if decision.enforced:
        enforced = Condition("Enforced", True, "DefinitionOfUser", _ENFORCED)
    return [submitted, Condition("Published", serving.served, reason, message), enforced]


def import_conditions(rejection: tuple[str, ...] | None, serving: Serving) -> list[Condition]:
    """Return the conditions of an import. ``rejection`` says why it is incompatible."""
    if rejection is not None:
        message = message_of(rejection)
        return [
            Condition("Compatible", False, "IncompatibleSchema", message),
            Condition("Available", False, "IncompatibleSchema", "the cluster cannot run the negotiated API"),
        ]
    compatible = Condition("Compatible", True, "CompatibleSchema")
    if serving.served:
        return [compatible, Condition("Available", True, "Published")]
    return [compatible, Condition("Available", False, "NotPublished", serving.message)]
