"""An operator for Widgets (examples/1-first-crd): it reports in the status what it has made of the spec.

kopf works as with any Kubernetes cluster: it lists, watches, patches and sets finalizers. The operator serves the logical
cluster that its kubeconfig names.
"""

from __future__ import annotations

from typing import Any

import kopf

_PARTS = {"small": 1, "medium": 3, "large": 9}


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    """Log events instead of posting them: the history of a Widget is in its status."""
    settings.posting.enabled = False


@kopf.on.create("example.com", "v1", "widgets")
@kopf.on.update("example.com", "v1", "widgets", field="spec")
def assemble(spec: kopf.Spec, patch: kopf.Patch, **_: Any) -> None:
    """Bring the status up to date with the spec."""
    replicas = int(spec.get("replicas", 1))
    patch.status["replicas"] = replicas
    patch.status["message"] = f"{replicas * _PARTS[spec['size']]} parts"


@kopf.on.delete("example.com", "v1", "widgets")
def dismantle(name: str, logger: kopf.Logger, **_: Any) -> None:
    """Run before the object is deleted: kopf holds it with a finalizer."""
    logger.info("widget %s is dismantled", name)
