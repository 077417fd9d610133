"""The kubernetes client: its example for programs in a Pod (``pods``), and an application's work (``widgets``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from kubernetes import client, config, dynamic, watch

WIDGETS = ("example.com", "v1", "team", "widgets")
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def pods() -> list[str]:
    """List all pods, as ``in_cluster_config.py`` of the client's examples."""
    return [each.metadata.name for each in client.CoreV1Api().list_pod_for_all_namespaces(watch=False).items]


def widgets() -> dict[str, Any]:
    """Read, write and watch Widgets and ConfigMaps."""
    custom, core, seen = client.CustomObjectsApi(), client.CoreV1Api(), []
    namespace = NAMESPACE.read_text()
    listed = custom.list_namespaced_custom_object(*WIDGETS)
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": "small"}}
    custom.create_namespaced_custom_object(*WIDGETS, body)
    custom.patch_namespaced_custom_object(*WIDGETS, "w", {"spec": {"size": "medium"}})
    custom.patch_namespaced_custom_object_status(*WIDGETS, "w", {"status": {"message": "done"}})
    custom.patch_namespaced_custom_object_scale(*WIDGETS, "w", {"spec": {"replicas": 2}})
    version = listed["metadata"]["resourceVersion"]
    stream = watch.Watch()
    for event in stream.stream(custom.list_namespaced_custom_object, *WIDGETS, resource_version=version):
        seen.append(event["type"])
        if event["object"]["spec"]["replicas"] == 2:
            stream.stop()
    core.create_namespaced_config_map(namespace, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="c")))
    core.patch_namespaced_config_map("c", namespace, {"data": {"k": "v"}})
    resource = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="example.com/v1", kind="Widget")
    found = resource.get(name="w", namespace=namespace).to_dict()
    core.delete_collection_namespaced_config_map(namespace)
    custom.delete_namespaced_custom_object(*WIDGETS, "w")
    return {
        "version": client.VersionApi().get_code().major,
        "events": seen,
        "size": found["spec"]["size"],
        "replicas": found["spec"]["replicas"],
        "message": found["status"]["message"],
        "left": custom.list_namespaced_custom_object(*WIDGETS)["items"],
    }


if __name__ == "__main__":
    if sys.argv[2:]:
        config.load_kube_config(sys.argv[2])
    else:
        config.load_incluster_config()
    print(json.dumps({"pods": pods, "widgets": widgets}[sys.argv[1]]()))
