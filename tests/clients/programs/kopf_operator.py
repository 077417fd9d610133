"""An operator for Widgets in one namespace: it posts events, peers with others, and reports in the status."""

from __future__ import annotations

from typing import Any

import kopf


@kopf.on.create("example.com", "v1", "widgets")
@kopf.on.update("example.com", "v1", "widgets", field="spec")
def assemble(spec: kopf.Spec, patch: kopf.Patch, body: kopf.Body, **_: Any) -> None:
    """Bring the status up to date with the spec."""
    patch.status["message"] = f"{spec['replicas']} parts"
    kopf.info(body, reason="Assembled", message="all parts are there")


@kopf.on.delete("example.com", "v1", "widgets")
def dismantle(name: str, logger: kopf.Logger, **_: Any) -> None:
    """Run before the object is deleted: kopf holds it with a finalizer."""
    logger.info("widget %s is dismantled", name)
