"""kubectl's discovery commands: resources, versions, explanations."""

from __future__ import annotations

import json

from tests.kubectl import manifests
from tests.support.kubectl import Kubectl


def test_api_resources_lists_built_in_and_custom_types(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=manifests.GADGETS)
    kubectl.established("gadgets.shop.example.com")
    shown = kubectl("api-resources")
    for line in ("configmaps", "gadgets", "customresourcedefinitions", "leases", "clusterrolebindings"):
        assert line in shown
    assert "pods" not in shown
    assert "gadget" in kubectl("api-resources", "--api-group=shop.example.com", "-o", "name")


def test_api_versions(kubectl: Kubectl) -> None:
    shown = kubectl("api-versions").split()
    assert {"v1", "apiextensions.k8s.io/v1", "rbac.authorization.k8s.io/v1", "coordination.k8s.io/v1"} <= set(shown)


def test_explain_describes_fields(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=manifests.GADGETS)
    kubectl.established("gadgets.shop.example.com")
    assert "The colour of the case" in kubectl("explain", "gadget.spec.color")
    recursive = kubectl("explain", "gadgets", "--recursive")
    for name in ("spec", "color", "ports", "number", "status", "conditions"):
        assert name in recursive
    assert "data" in kubectl("explain", "configmap", "--recursive")
    assert "openAPIV3Schema" in kubectl("explain", "crd.spec.versions.schema")


def test_version_cluster_info_and_raw(kubectl: Kubectl) -> None:
    assert "v1." in kubectl("version")
    assert "is running at" in kubectl("cluster-info")
    assert json.loads(kubectl("get", "--raw", "/version"))["major"] == "1"
    assert kubectl("get", "--raw", "/readyz") == "ok"


def test_services_are_an_empty_list_until_they_are_defined(fresh_kubectl: Kubectl) -> None:
    kubectl = fresh_kubectl
    assert "is running at" in kubectl("cluster-info")
    assert "No resources found" in kubectl.run("get", "services,svc").stderr
    assert "services" in kubectl("api-resources", "--verbs=get,list", "-o", "name").split()
    assert "services" not in kubectl("api-resources", "--verbs=list,watch", "-o", "name").split()
    assert "KIND:" in kubectl("explain", "service")
    for command in ("create", "apply"):
        told = kubectl.fails(command, "-f", "-", stdin=manifests.DNS)
        assert "CustomResourceDefinition named services.core" in told
    kubectl("apply", "-f", "-", stdin=manifests.SERVICES)
    kubectl.established("services.core")
    kubectl("apply", "-f", "-", stdin=manifests.DNS)
    assert kubectl("get", "svc", "-n", "kube-system", "-o", "name").strip() == "service/dns"
    assert "/api/v1/namespaces/kube-system/services/dns:dns/proxy" in kubectl("cluster-info")


def test_auth_whoami_and_auth_can_i(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "configmaps").strip() == "yes"
    if not kubectl.old:
        shown = kubectl("auth", "whoami")
        assert "system:masters" in shown
