"""lightkube: an application's work with Widgets and ConfigMaps."""

from __future__ import annotations

import json
import sys
from typing import Any

from lightkube import Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

Widget = create_namespaced_resource("example.com", "v1", "Widget", "widgets")


def widgets(client: Any) -> dict[str, Any]:
    """Read, write, apply and watch in the namespace that the Pod is in; lists come in chunks."""
    listed = client.list(Widget)
    assert list(listed) == []
    client.create(Widget(metadata=ObjectMeta(name="w"), spec={"size": "small"}))
    client.patch(Widget, "w", {"spec": {"size": "medium"}}, patch_type=PatchType.MERGE)
    client.patch(Widget.Status, "w", {"status": {"message": "done"}}, patch_type=PatchType.MERGE)
    client.patch(Widget.Scale, "w", {"spec": {"replicas": 2}}, patch_type=PatchType.MERGE)
    seen = []
    for kind, widget in client.watch(Widget, resource_version=listed.resourceVersion):
        seen.append(kind)
        if widget["spec"].get("replicas") == 2:
            break
    for number in range(3):
        settings = ConfigMap(metadata=ObjectMeta(name=f"c{number}"), data={"k": "v"}, apiVersion="v1", kind="ConfigMap")
        client.apply(settings, field_manager="program")
    names = [each.metadata.name for each in client.list(ConfigMap, chunk_size=2, fields={"metadata.name!": "x"})]
    found = client.get(Widget, "w")
    client.deletecollection(ConfigMap)
    client.delete(Widget, "w")
    return {
        "namespace": client.namespace,
        "size": found["spec"]["size"],
        "replicas": found["spec"]["replicas"],
        "message": found["status"]["message"],
        "events": seen,
        "names": [name for name in names if name.startswith("c")],
        "left": len(list(client.list(Widget))),
    }


if __name__ == "__main__":
    configuration = KubeConfig.from_file(sys.argv[2]) if sys.argv[2:] else KubeConfig.from_env()
    print(json.dumps(widgets(Client(config=configuration))))
