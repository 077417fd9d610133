"""kr8s: who the program is (``whoami``, a TokenReview), and an application's work (``widgets``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import kr8s
from kr8s.objects import ConfigMap, new_class

Widget = new_class("Widget", "example.com/v1", asyncio=False, namespaced=True, scalable=True)
NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def whoami(api: Any) -> str:
    """Ask the server for the user of the token."""
    return str(api.whoami())


def widgets(api: Any) -> dict[str, Any]:
    """Read, write, scale and wait for Widgets and ConfigMaps of the namespace that the Pod is in."""
    assert list(kr8s.get("widgets.example.com", api=api)) == []
    widget = Widget({"metadata": {"name": "w"}, "spec": {"size": "small"}}, api=api)
    widget.create()
    widget.patch({"spec": {"size": "medium"}})
    widget.label({"tier": "one"})
    widget.scale(2)
    widget.patch({"status": {"message": "done"}}, subresource="status")
    widget.wait("jsonpath='{.status.message}'=done")
    seen = [(kind, each.name) for kind, each in first_of(api.watch("widgets.example.com"))]
    settings = ConfigMap({"metadata": {"name": "c"}, "data": {"k": "v"}}, api=api)
    settings.create()
    settings.refresh()
    found = next(iter(kr8s.get("widgets.example.com", label_selector={"tier": "one"}, api=api)))
    result = {
        "namespace": found.namespace,
        "size": found.spec.size,
        "replicas": found.replicas,
        "message": found.status.message,
        "events": seen,
        "data": settings.data.k,
    }
    settings.delete()
    widget.delete()
    return {**result, "left": [each.name for each in kr8s.get("widgets.example.com", api=api)]}


def first_of(stream: Any) -> list[Any]:
    """Return the first element, as a list."""
    return [next(iter(stream))]


if __name__ == "__main__":
    # kr8s takes no namespace from the files of a Pod
    connected = kr8s.api(kubeconfig=sys.argv[2]) if sys.argv[2:] else kr8s.api(namespace=NAMESPACE.read_text())
    print(json.dumps({"whoami": whoami, "widgets": widgets}[sys.argv[1]](connected)))
