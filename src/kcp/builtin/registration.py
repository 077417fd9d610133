"""The built-in types with their strategies, as resource types."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kcp.auth.authentication.authenticator import TokenAuthenticator
from kcp.auth.authorization.authorizer import Authorizer
from kcp.builtin.loader import Definition, load_types
from kcp.builtin.strategies.admissionregistration import PolicyBindingStrategy, PolicyStrategy, WebhooksStrategy
from kcp.builtin.strategies.apiextensions import DefinitionStrategy
from kcp.builtin.strategies.apiregistration import APIServiceStrategy
from kcp.builtin.strategies.base import BuiltinStrategy
from kcp.builtin.strategies.certificates import SigningRequestStrategy
from kcp.builtin.strategies.coordination import LeaseStrategy
from kcp.builtin.strategies.core import ConfigMapStrategy, NamespaceStrategy, SecretStrategy, ServiceAccountStrategy
from kcp.builtin.strategies.events import EventStrategy, NewEventStrategy
from kcp.builtin.strategies.limits import LimitRangeStrategy, ResourceQuotaStrategy
from kcp.builtin.strategies.rbac import RoleBindingStrategy, RoleStrategy
from kcp.builtin.strategies.reviews import (
    AccessReviewStrategy,
    RulesReviewStrategy,
    SelfSubjectReviewStrategy,
    TokenReviewStrategy,
)
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.types.resource_types import ResourceType, from_definition


def builtin_types(
    *,
    server_uid: str,
    created: str,
    authorizer: Authorizer,
    tokens: TokenAuthenticator,
    definitions: Callable[[LogicalClusterName], Iterable[Definition]],
) -> list[ResourceType]:
    """Every built-in type.

    ``server_uid`` and ``created`` (RFC 3339) identify the namespaces that are there without being stored; ``authorizer``
    and ``tokens`` answer the reviews; ``definitions`` gives the custom definitions of a logical cluster. Raises KeyError
    when a declared type has no strategy: the two belong together.
    """
    declared = load_types()
    own = [_named(definition) for definition in declared if not definition.get("x-kcp", {}).get("placeholder")]

    def others(cluster: LogicalClusterName) -> Iterable[Definition]:
        return [*own, *definitions(cluster)]

    strategies = _strategies(server_uid, created, authorizer, tokens, DefinitionStrategy(others))
    types: list[ResourceType] = []
    for definition in declared:
        spec = definition["spec"]
        strategy = strategies[spec["group"], spec["names"]["kind"]]
        types.extend(from_definition(definition, strategy=strategy, builtin=True))
    return types


def _named(definition: Definition) -> Definition:
    """A declaration as far as its names go: they are taken in every logical cluster."""
    spec = definition["spec"]
    return {"spec": {"group": spec["group"]}, "status": {"acceptedNames": spec["names"]}}


def _strategies(
    server_uid: str, created: str, authorizer: Authorizer, tokens: TokenAuthenticator, definitions: DefinitionStrategy
) -> dict[tuple[str, str], BuiltinStrategy]:
    rbac, admission = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"
    authentication, authorization = "authentication.k8s.io", "authorization.k8s.io"
    webhooks = WebhooksStrategy()
    found: dict[tuple[str, str], BuiltinStrategy] = {
        ("", "Namespace"): NamespaceStrategy(server_uid, created),
        ("", "ConfigMap"): ConfigMapStrategy(),
        ("", "Secret"): SecretStrategy(),
        ("", "ServiceAccount"): ServiceAccountStrategy(),
        ("", "Service"): BuiltinStrategy(),
        ("", "LimitRange"): LimitRangeStrategy(),
        ("", "ResourceQuota"): ResourceQuotaStrategy(),
        ("", "Event"): EventStrategy(),
        ("events.k8s.io", "Event"): NewEventStrategy(),
        ("coordination.k8s.io", "Lease"): LeaseStrategy(),
        (rbac, "Role"): RoleStrategy(namespaced=True),
        (rbac, "ClusterRole"): RoleStrategy(namespaced=False),
        (rbac, "RoleBinding"): RoleBindingStrategy(namespaced=True),
        (rbac, "ClusterRoleBinding"): RoleBindingStrategy(namespaced=False),
        ("apiextensions.k8s.io", "CustomResourceDefinition"): definitions,
        (admission, "ValidatingWebhookConfiguration"): webhooks,
        (admission, "MutatingWebhookConfiguration"): webhooks,
        (admission, "ValidatingAdmissionPolicy"): PolicyStrategy(),
        (admission, "ValidatingAdmissionPolicyBinding"): PolicyBindingStrategy(),
        (authentication, "TokenReview"): TokenReviewStrategy(tokens),
        (authentication, "SelfSubjectReview"): SelfSubjectReviewStrategy(),
        (authorization, "SelfSubjectRulesReview"): RulesReviewStrategy(authorizer),
        ("certificates.k8s.io", "CertificateSigningRequest"): SigningRequestStrategy(),
        ("apiregistration.k8s.io", "APIService"): APIServiceStrategy(),
    }
    for kind in ("SubjectAccessReview", "LocalSubjectAccessReview", "SelfSubjectAccessReview"):
        found[authorization, kind] = AccessReviewStrategy(kind, authorizer)
    return found
