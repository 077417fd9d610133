"""The contract of authorization: what an authorizer is asked and what it answers, and the refusal of a request.

Follows the Kubernetes page "Authorization" and k8s.io/apiserver's ``authorizer.Authorizer`` and ``RuleResolver``.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, NamedTuple, Protocol

from kcp.api import errors
from kcp.api.kinds import GroupResource
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.restrictions import WriteRestriction


class Decision(NamedTuple):
    """An authorizer's answer: allowed, denied, or neither (no opinion). ``reason`` is for people.

    A ``restriction`` limits what the write of an allowed request may change.

    No opinion leaves the decision to the next authorizer; a request on which no authorizer has an opinion is refused.
    """

    allowed: bool
    reason: str = ""
    denied: bool = False
    restriction: WriteRestriction | None = None


ALLOWED: Final = Decision(True)
NO_OPINION: Final = Decision(False)


class ResourceRule(NamedTuple):
    """Verbs that are allowed on resources of API groups; ``*`` stands for all. Without ``names``, on all objects."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...] = ()


class PathRule(NamedTuple):
    """Verbs that are allowed on paths that are not resources; ``*`` stands for all."""

    verbs: tuple[str, ...]
    paths: tuple[str, ...]


class Rules(NamedTuple):
    """Everything that a user is allowed.

    ``incomplete``: the user may be allowed more, which the authorizer cannot list. ``problem`` says why, or what is wrong with
    the rules themselves (a binding to a role that does not exist).
    """

    resources: tuple[ResourceRule, ...]
    paths: tuple[PathRule, ...]
    problem: str = ""
    incomplete: bool = False


class Authorizer(Protocol):
    """Decides whether users may do what they ask for. ``decide`` may be a coroutine function, or answer without waiting."""

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision | Awaitable[Decision]:
        """Decide one request: at once, or awaited where the authorizer must wait, for example for a webhook."""

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:
        """Return what a user is allowed in a namespace of a logical cluster, and outside of namespaces."""


async def decided(decision: Decision | Awaitable[Decision]) -> Decision:
    """Return an authorizer's decision; wait where it must be awaited."""
    return decision if isinstance(decision, Decision) else await decision


def forbidden(user: User, attributes: AuthorizationAttributes, reason: str = "") -> errors.StatusError:
    """Return the 403 of a request that was not allowed, in kube-apiserver's words."""
    if not attributes.is_resource:
        why = f'User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
        return errors.forbidden(GroupResource("", ""), "", f"{why}: {reason}" if reason else why)
    resource = attributes.resource
    if attributes.subresource:
        resource = f"{resource}/{attributes.subresource}"
    why = f'User "{user.name}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}"'
    why += f' in the namespace "{attributes.namespace}"' if attributes.namespace else " at the cluster scope"
    if reason:
        why = f"{why}: {reason}"
    return errors.forbidden(GroupResource(attributes.group, attributes.resource), attributes.name, why)
