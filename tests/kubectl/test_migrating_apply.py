"""Migration from client-side to server-side apply and back with kubectl: ownership, and the last-applied annotation.

kubectl hands what ``kubectl-client-side-apply`` owns to ``kubectl``, and the annotation that client-side apply goes by to
a manager of its own, ``kubectl-last-applied``; kube-apiserver then keeps the annotation up to date, so that the way back is open.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.kubectl import manifests
from tests.support.kubectl import Kubectl

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
ANNOTATION: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{LAST_APPLIED}": {}}}}
SERVER_SIDE = ("apply", "--server-side", "-f", "-")
CLIENT_SIDE = ("apply", "-f", "-")


class Applied:
    """A ConfigMap or a Gadget whose values are in ``data`` or ``spec``."""

    def __init__(self, kubectl: Kubectl, kind: str) -> None:
        self.kubectl = kubectl
        self.kind = kind
        self.part = "data" if kind == "configmap" else "spec"

    def manifest(self, **values: str) -> str:
        versions = {"configmap": ("v1", "ConfigMap"), "gadget": ("shop.example.com/v1", "Gadget")}
        version, kind = versions[self.kind]
        return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": "one"}, self.part: values})

    @property
    def live(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.kubectl("get", self.kind, "one", "-o", "json", "--show-managed-fields"))
        return read

    @property
    def values(self) -> dict[str, Any]:
        return {name: value for name, value in self.live.get(self.part, {}).items() if isinstance(value, str)}

    @property
    def last_applied(self) -> dict[str, Any]:
        """The values in the annotation."""
        read: dict[str, Any] = json.loads(self.live["metadata"]["annotations"][LAST_APPLIED])
        found: dict[str, Any] = read[self.part]
        return found

    @property
    def owners(self) -> dict[tuple[str, str], Any]:
        """The fields that managers own; of our values only the names, without defaults."""
        found = {}
        for entry in self.live["metadata"]["managedFields"]:
            fields = entry["fieldsV1"]
            if part := fields.pop(f"f:{self.part}", None):
                fields = {**fields, self.part: sorted({name[2:] for name in part} & {"color", "note"})}
            if annotations := fields.get("f:metadata", {}).get("f:annotations"):
                annotations.pop(".", None)
            found[entry["manager"], entry["operation"]] = fields
        return found


@pytest.fixture(params=["configmap", "gadget"])
def applied(request: pytest.FixtureRequest, current_kubectl: Kubectl) -> Applied:
    """An object of a built-in type, and one of a custom resource."""
    if request.param == "gadget":
        current_kubectl("create", "-f", "-", stdin=manifests.GADGETS)
        current_kubectl.established("gadgets.shop.example.com")
    return Applied(current_kubectl, request.param)


def test_client_side_apply_moves_to_server_side_apply_and_back(applied: Applied) -> None:
    kubectl = applied.kubectl
    kubectl(*CLIENT_SIDE, stdin=applied.manifest(color="red", note="old"))
    both = {**ANNOTATION, applied.part: ["color", "note"]}
    assert applied.owners == {("kubectl-client-side-apply", "Update"): both}

    # a changed value is no conflict, and a missing one is removed, as if it had been applied server-side before
    kubectl(*SERVER_SIDE, stdin=applied.manifest(color="green"))
    assert applied.values == {"color": "green"}
    moved = {("kubectl", "Apply"): {applied.part: ["color"]}, ("kubectl-last-applied", "Apply"): ANNOTATION}
    assert applied.owners == moved
    assert applied.last_applied == {"color": "green"}

    kubectl(*SERVER_SIDE, stdin=applied.manifest(color="blue", note="new"))
    assert applied.values == {"color": "blue", "note": "new"}
    moved["kubectl", "Apply"] = {applied.part: ["color", "note"]}
    assert applied.owners == moved
    assert applied.last_applied == {"color": "blue", "note": "new"}

    # back to client-side apply: the note is in the annotation, and is removed
    kubectl(*CLIENT_SIDE, stdin=applied.manifest(color="red"))
    assert applied.values == {"color": "red"}
    assert applied.last_applied == {"color": "red"}
    assert applied.owners == {("kubectl-client-side-apply", "Update"): {**ANNOTATION, applied.part: ["color"]}}

    # to server-side apply again
    kubectl(*SERVER_SIDE, stdin=applied.manifest(note="last", color="green"))
    assert applied.owners == moved
    assert applied.last_applied == {"color": "green", "note": "last"}


def test_a_field_that_another_manager_changed_meanwhile_is_a_conflict(applied: Applied) -> None:
    kubectl = applied.kubectl
    kubectl(*CLIENT_SIDE, stdin=applied.manifest(color="red", note="old"))
    patch = json.dumps({applied.part: {"color": "blue"}})
    kubectl("patch", applied.kind, "one", "--type=merge", "-p", patch, "--field-manager=controller")
    message = kubectl.fails(*SERVER_SIDE, stdin=applied.manifest(color="green", note="new"))
    assert 'conflict with "controller"' in message
    assert f".{applied.part}.color" in message
    assert applied.values == {"color": "blue", "note": "old"}
    kubectl(*SERVER_SIDE, "--force-conflicts", stdin=applied.manifest(color="green", note="new"))
    assert applied.values == {"color": "green", "note": "new"}
    assert applied.owners["kubectl", "Apply"] == {applied.part: ["color", "note"]}
    assert ("controller", "Update") not in applied.owners


def test_an_object_that_was_never_applied_client_side_gets_no_annotation(applied: Applied) -> None:
    applied.kubectl(*SERVER_SIDE, stdin=applied.manifest(color="red"))
    applied.kubectl(*SERVER_SIDE, stdin=applied.manifest(color="green"))
    assert applied.owners == {("kubectl", "Apply"): {applied.part: ["color"]}}
    assert "annotations" not in applied.live["metadata"]
