"""What may be done without any RBAC object, and what a refusal says."""

from __future__ import annotations

import pytest

from kcp.auth.authorization.authorizers import Attributes, BasicAuthorizer, denied
from kcp.auth.users import ANONYMOUS, MASTERS, MONITORING, authenticated

ADMIN = authenticated("admin", groups=(MASTERS,))
JANE = authenticated("jane")
PROBE = authenticated("prometheus", groups=(MONITORING,))


def allowed(user, attributes: Attributes) -> bool:
    return BasicAuthorizer().authorize(user, attributes).allowed


def reading(path: str) -> Attributes:
    return Attributes("root", "get", is_resource=False, path=path)


def test_masters_may_do_everything() -> None:
    assert allowed(ADMIN, Attributes("root", "delete", resource="namespaces", name="default"))
    assert allowed(ADMIN, Attributes("*", "list", resource="secrets"))
    assert allowed(ADMIN, reading("/metrics"))
    assert allowed(ADMIN, Attributes("root", "impersonate", resource="users", name="jane"))


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/livez/ping", "/readyz", "/version", "/version/"])
def test_everybody_may_ask_for_health_and_version(path: str) -> None:
    assert allowed(ANONYMOUS, reading(path))
    assert allowed(JANE, reading(path))


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/apis", "/apis/rbac.authorization.k8s.io/v1", "/openapi/v3"])
def test_the_authenticated_may_discover(path: str) -> None:
    assert allowed(JANE, reading(path))
    assert not allowed(ANONYMOUS, reading(path))


@pytest.mark.parametrize("path", ["/", "/metrics", "/apisx", "/versions", "/healthzz", ""])
def test_other_paths_are_for_nobody_else(path: str) -> None:
    assert not allowed(JANE, reading(path))
    assert not allowed(ANONYMOUS, reading(path))


def test_monitoring_may_read_metrics() -> None:
    assert allowed(PROBE, reading("/metrics"))


def test_paths_may_only_be_read() -> None:
    assert not allowed(JANE, Attributes("root", "post", is_resource=False, path="/api"))


def test_the_authenticated_may_ask_about_themselves_only() -> None:
    review = Attributes("root", "create", group="authorization.k8s.io", resource="selfsubjectaccessreviews")
    others = Attributes("root", "create", group="authorization.k8s.io", resource="subjectaccessreviews")
    assert allowed(JANE, review)
    assert not allowed(ANONYMOUS, review)
    assert not allowed(JANE, others)
    assert not allowed(JANE, Attributes("root", "get", resource="configmaps", namespace="default", name="a"))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            Attributes("root", "list", version="v1", resource="configmaps", namespace="default"),
            'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" in the namespace "default"',
        ),
        (
            Attributes("root", "get", group="example.com", resource="widgets", name="w"),
            (
                'widgets.example.com "w" is forbidden: User "jane" cannot get resource "widgets" in API group "example.com" '
                "at the cluster scope"
            ),
        ),
        (
            Attributes("root", "update", resource="namespaces", subresource="finalize", namespace="a", name="a"),
            (
                'namespaces "a" is forbidden: User "jane" cannot update resource "namespaces/finalize" in API group "" '
                'in the namespace "a"'
            ),
        ),
        (reading("/"), 'forbidden: User "jane" cannot get path "/"'),
    ],
)
def test_a_refusal_is_worded_as_kubernetes_words_it(attributes: Attributes, message: str) -> None:
    refusal = denied(JANE, attributes)
    assert (refusal.code, refusal.reason, refusal.message) == (403, "Forbidden", message)


def test_the_reason_of_an_authorizer_is_told() -> None:
    assert denied(JANE, reading("/"), "closed on Sundays").message.endswith('path "/": closed on Sundays')
