"""kubectl against the types of Kubernetes, as crd-puller converts them."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.support.kubectl import Kubectl

Object = dict[str, Any]


class PulledKubectl(Kubectl):
    """A kubectl whose namespace is the test's own."""

    def read(self, *arguments: str) -> Object:
        """The object of `get`, from JSON."""
        found = json.loads(self("get", *arguments, "-o", "json"))
        assert isinstance(found, dict)
        return found

    def container(self, workload: str) -> Object:
        """The first container of a workload's template."""
        found = self.read(workload)["spec"]["template"]["spec"]["containers"][0]
        assert isinstance(found, dict)
        return found

    def create_object(self, manifest: Object) -> None:
        """Create an object as it is written."""
        self("create", "-f", "-", stdin=yaml.safe_dump(manifest))

    def set_status(self, workload: str, **status: Any) -> None:
        """Report a status, as the controller of the workload does."""
        self("patch", workload, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
