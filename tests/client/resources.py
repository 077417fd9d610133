"""The resources that the tests of the client use, as discovery describes them."""

from __future__ import annotations

from kcp.client import APIResource

CONFIG_MAPS = APIResource("", "v1", "configmaps", "ConfigMap")
DEFINITIONS = APIResource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
EVENTS = APIResource("", "v1", "events", "Event")
LEASES = APIResource("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACES = APIResource("", "v1", "namespaces", "Namespace", namespaced=False)
