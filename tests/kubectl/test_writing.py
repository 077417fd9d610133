"""kubectl's writes: create, all kinds of apply, diff, edit, patch, replace, label, annotate, scale, wait, delete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.kubectl import manifests
from tests.support.kubectl import WITH_PATIENCE, Kubectl
from tests.support.waiting import PATIENCE


@pytest.fixture
def gadgets(kubectl: Kubectl) -> Kubectl:
    kubectl("apply", "-f", "-", stdin=manifests.GADGETS)
    kubectl.established("gadgets.shop.example.com")
    return kubectl


def test_create_of_each_kind_that_kubectl_knows(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "a", "--from-literal=k=v")
    kubectl("create", "secret", "generic", "b", "--from-literal=k=v")
    kubectl("create", "serviceaccount", "c")
    kubectl("create", "role", "d", "--verb=get,list", "--resource=configmaps")
    kubectl("create", "rolebinding", "e", "--role=d", "--user=someone")
    kubectl("create", "quota", "f", "--hard=count/configmaps=5")
    name = kubectl.environment["NAMESPACE"]
    kubectl("create", "clusterrole", f"{name}-g", "--verb=get", "--resource=namespaces")
    kubectl("create", "clusterrolebinding", f"{name}-h", f"--clusterrole={name}-g", "--group=people")
    kubectl("create", "namespace", f"{name}-i")
    assert kubectl("get", "cm/a", "-o", "jsonpath={.data.k}") == "v"
    assert kubectl("get", "secret/b", "-o", "jsonpath={.data.k}") == "dg=="
    assert "already exists" in kubectl.fails("create", "configmap", "a")


def test_create_refuses_what_the_schema_refuses(gadgets: Kubectl) -> None:
    message = gadgets.fails("create", "-f", "-", stdin=manifests.gadget("wrong", "yellow"))
    assert 'spec.color: Unsupported value: "yellow"' in message
    blue = manifests.gadget("many", "blue").replace("  ports:", "  replicas: 11\n  ports:")
    assert "there are no ten blue ones" in gadgets.fails("create", "-f", "-", stdin=blue)
    unknown = manifests.gadget("odd").replace("  ports:", "  colour: red\n  ports:")
    assert "unknown field" in gadgets.fails("create", "-f", "-", stdin=unknown)


def test_client_side_apply(gadgets: Kubectl) -> None:
    assert "created" in gadgets("apply", "-f", "-", stdin=manifests.gadget("one"))
    assert "unchanged" in gadgets("apply", "-f", "-", stdin=manifests.gadget("one"))
    assert "configured" in gadgets("apply", "-f", "-", stdin=manifests.gadget("one", "green"))
    assert gadgets("get", "gadget", "one", "-o", "jsonpath={.spec.color}") == "green"
    assert "created" in gadgets("apply", "-f", "-", stdin=manifests.config("map"))
    assert "configured" in gadgets("apply", "-f", "-", stdin=manifests.config("map", "two"))


def test_server_side_apply_and_its_conflicts(gadgets: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in gadgets(*apply, "--field-manager=one", stdin=manifests.gadget("shared"))
    message = gadgets.fails(*apply, "--field-manager=two", stdin=manifests.gadget("shared", "green"))
    assert 'conflict with "one"' in message
    assert ".spec.color" in message
    gadgets(*apply, "--field-manager=two", "--force-conflicts", stdin=manifests.gadget("shared", "green"))
    assert gadgets("get", "gadget", "shared", "-o", "jsonpath={.spec.color}") == "green"


def test_moving_from_client_side_to_server_side_apply(gadgets: Kubectl) -> None:
    if gadgets.old:
        pytest.skip("kubectl 1.20 does not migrate ownership")
    gadgets("apply", "-f", "-", stdin=manifests.gadget("moved"))
    gadgets("apply", "--server-side", "-f", "-", stdin=manifests.gadget("moved", "green"))
    assert gadgets("get", "gadget", "moved", "-o", "jsonpath={.spec.color}") == "green"


def test_apply_with_prune(gadgets: Kubectl) -> None:
    both = manifests.config("kept") + "---" + manifests.config("dropped")
    gadgets("apply", "-f", "-", stdin=both)
    whitelist = "--prune-whitelist=core/v1/ConfigMap" if gadgets.old else "--prune-allowlist=core/v1/ConfigMap"
    shown = gadgets("apply", "--prune", "-l", "app=demo", whitelist, "-f", "-", stdin=manifests.config("kept"))
    assert "configmap/dropped pruned" in shown
    assert gadgets("get", "configmaps", "-l", "app=demo", "-o", "name") == "configmap/kept\n"


def test_apply_of_a_kustomization(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(manifests.config("base"))
    (tmp_path / "kustomization.yaml").write_text("resources: [map.yaml]\nnamePrefix: my-\n")
    assert "my-base created" in kubectl("apply", "-k", str(tmp_path))


def test_dry_runs_write_nothing(gadgets: Kubectl) -> None:
    gadgets("apply", "--dry-run=server", "-f", "-", stdin=manifests.gadget("ghost"))
    gadgets("apply", "--dry-run=client", "-f", "-", stdin=manifests.gadget("ghost"))
    gadgets("create", "--dry-run=server", "-f", "-", stdin=manifests.gadget("ghost"))
    assert "NotFound" in gadgets.fails("get", "gadget", "ghost")


def test_diff_shows_the_change(gadgets: Kubectl) -> None:
    gadgets("apply", "-f", "-", stdin=manifests.gadget("one"))
    assert gadgets.run("diff", "-f", "-", stdin=manifests.gadget("one")).returncode == 0
    changed = gadgets.run("diff", "-f", "-", stdin=manifests.gadget("one", "green"))
    assert changed.returncode == 1, changed.stderr
    assert "+  color: green" in changed.stdout


def test_edit(gadgets: Kubectl, tmp_path: Path) -> None:
    gadgets("create", "-f", "-", stdin=manifests.gadget("edited"))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/color: red/color: blue/" "$1"\n')
    editor.chmod(0o755)
    gadgets.environment["KUBE_EDITOR"] = str(editor)
    assert "edited" in gadgets("edit", "gadget", "edited")
    assert gadgets("get", "gadget", "edited", "-o", "jsonpath={.spec.color}") == "blue"


def test_patches(gadgets: Kubectl) -> None:
    gadgets("create", "-f", "-", stdin=manifests.gadget("patched"))
    gadgets("patch", "gadget", "patched", "--type=merge", "-p", '{"spec":{"color":"blue"}}')
    gadgets("patch", "gadget", "patched", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":3}]')
    assert gadgets("get", "gadget", "patched", "-o", "jsonpath={.spec.color}{.spec.replicas}") == "blue3"
    gadgets("create", "serviceaccount", "patched")
    for name in ("one", "two"):
        gadgets("patch", "serviceaccount", "patched", "-p", json.dumps({"secrets": [{"name": name}]}))
    names = gadgets("get", "serviceaccount", "patched", "-o", "jsonpath={.secrets[*].name}").split()
    assert sorted(names) == ["one", "two"]


def test_replace(gadgets: Kubectl) -> None:
    gadgets("create", "-f", "-", stdin=manifests.config("replaced"))
    gadgets("replace", "-f", "-", stdin=manifests.config("replaced", "two"))
    uid = gadgets("get", "cm/replaced", "-o", "jsonpath={.metadata.uid}")
    gadgets("replace", "--force", "-f", "-", stdin=manifests.config("replaced", "three"))
    assert gadgets("get", "cm/replaced", "-o", "jsonpath={.data.key}") == "three"
    assert gadgets("get", "cm/replaced", "-o", "jsonpath={.metadata.uid}") != uid


def test_label_and_annotate(gadgets: Kubectl) -> None:
    gadgets("create", "-f", "-", stdin=manifests.gadget("marked"))
    gadgets("label", "gadget", "marked", "tier=front")
    gadgets("annotate", "gadget", "marked", "why=because")
    gadgets("label", "gadget", "marked", "tier-")
    metadata = gadgets.object("gadget", "marked")["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["labels"] == {"app": "demo"}
    assert metadata["annotations"]["why"] == "because"


def test_scale(gadgets: Kubectl) -> None:
    gadgets("create", "-f", "-", stdin=manifests.gadget("scaled"))
    gadgets("scale", "gadget", "scaled", "--replicas=5")
    assert gadgets("get", "gadget", "scaled", "-o", "jsonpath={.spec.replicas}") == "5"
    gadgets.fails("scale", "gadget", "scaled", "--replicas=6", "--current-replicas=2")


def test_wait(gadgets: Kubectl) -> None:
    gadgets("create", "-f", "-", stdin=manifests.gadget("awaited"))
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    if not gadgets.old:
        gadgets("patch", "gadget", "awaited", "--subresource=status", "--type=merge", "-p", json.dumps(status))
        gadgets("wait", "gadget/awaited", "--for=condition=Ready", WITH_PATIENCE)
        gadgets("wait", "gadget/awaited", "--for=jsonpath={.spec.color}=red", WITH_PATIENCE)
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    gadgets("patch", "gadget", "awaited", "--type=merge", "-p", json.dumps(hold))
    gadgets("delete", "gadget", "awaited", "--wait=false")
    waiting = gadgets.start("wait", "gadget/awaited", "--for=delete", WITH_PATIENCE)
    gadgets("patch", "gadget", "awaited", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    out, err = waiting.communicate(timeout=PATIENCE)
    # a kubectl that began to wait only after the object had gone says so (1.20 with an error)
    assert waiting.returncode == 0 or "no matching resources found" in err or "not found" in err, out + err


def test_delete(gadgets: Kubectl) -> None:
    for name in ("a", "b", "c"):
        gadgets("create", "-f", "-", stdin=manifests.gadget(name))
    assert 'gadget.shop.example.com "a" deleted' in gadgets("delete", "gadget", "a")
    gadgets("label", "gadget", "b", "kind=special")
    gadgets("delete", "gadget", "-l", "kind=special")
    assert gadgets("get", "gadgets", "-o", "name") == "gadget.shop.example.com/c\n"
    gadgets("delete", "gadgets", "--all")
    assert gadgets("get", "gadgets", "-o", "name") == ""


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_cascading_deletion(gadgets: Kubectl, cascade: str) -> None:
    gadgets("create", "-f", "-", stdin=manifests.gadget("owner"))
    uid = gadgets("get", "gadget", "owner", "-o", "jsonpath={.metadata.uid}")
    owned = manifests.config("owned").replace(
        "\ndata:",
        "\n  ownerReferences:\n  - {apiVersion: shop.example.com/v1, kind: Gadget, name: owner, "
        f"uid: {uid}, blockOwnerDeletion: true}}\ndata:",
    )
    gadgets("create", "-f", "-", stdin=owned)
    gadgets("delete", "gadget", "owner", f"--cascade={cascade}")
    if cascade == "orphan":
        assert gadgets("get", "cm/owned", "-o", "jsonpath={.metadata.ownerReferences}") == ""
    else:
        gadgets.vanishes("configmap", "owned")


def test_deleting_a_namespace_deletes_its_objects(gadgets: Kubectl) -> None:
    namespace = gadgets.environment["NAMESPACE"]
    gadgets("create", "-f", "-", stdin=manifests.gadget("inside"))
    gadgets("create", "configmap", "inside")
    gadgets("delete", "namespace", namespace, WITH_PATIENCE)
    assert "NotFound" in gadgets.fails("get", "namespace", namespace)
    assert "not found" in gadgets.fails("create", "configmap", "late")


def test_config(kubectl: Kubectl) -> None:
    assert kubectl("config", "current-context").strip()
    assert "server: https://127.0.0.1" in kubectl("config", "view")
