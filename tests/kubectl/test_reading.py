"""kubectl get in all its forms, describe and events."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.kubectl import manifests
from tests.support.kubectl import Kubectl


@pytest.fixture
def gadgets(kubectl: Kubectl) -> Kubectl:
    kubectl("apply", "-f", "-", stdin=manifests.GADGETS)
    kubectl.established("gadgets.shop.example.com")
    for name, color in (("beta", "green"), ("alpha", "red"), ("gamma", "blue")):
        kubectl("create", "-f", "-", stdin=manifests.gadget(name, color))
    return kubectl


def test_tables(gadgets: Kubectl) -> None:
    lines = gadgets("get", "gadgets").splitlines()
    assert lines[0].split() == ["NAME", "COLOR", "REPLICAS", "AGE"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["alpha", "red", "1"],
        ["beta", "green", "1"],
        ["gamma", "blue", "1"],
    ]
    assert gadgets("get", "gd", "-o", "wide").splitlines()[0].split() == ["NAME", "COLOR", "REPLICAS", "NOTE", "AGE"]
    assert "alpha" in gadgets("get", "all")
    assert "default" in gadgets("get", "ns")


def test_documents(gadgets: Kubectl) -> None:
    assert json.loads(gadgets("get", "gadget", "alpha", "-o", "json"))["spec"]["color"] == "red"
    assert gadgets.object("gadget", "alpha")["kind"] == "Gadget"
    assert gadgets("get", "gadget", "alpha", "-o", "jsonpath={.spec.ports[0].number}") == "80"
    columns = gadgets("get", "gadgets", "-o", "custom-columns=N:.metadata.name,C:.spec.color")
    assert ["alpha", "red"] in [line.split() for line in columns.splitlines()]
    assert gadgets("get", "gadgets", "-o", "name").splitlines()[0] == "gadget.shop.example.com/alpha"


def test_sorting_and_selecting(gadgets: Kubectl) -> None:
    by_color = gadgets("get", "gadgets", "--sort-by=.spec.color", "-o", "name").split()
    assert [name.rsplit("/", 1)[1] for name in by_color] == ["gamma", "beta", "alpha"]
    assert gadgets("get", "gadgets", "-l", "app in (demo),app!=x", "-o", "name").count("gadget") == 3
    assert "No resources found" in gadgets.run("get", "gadgets", "-l", "app=none").stderr
    assert "demo" in gadgets("get", "gadgets", "-L", "app")
    assert gadgets("get", "gadgets", "--field-selector=metadata.name=beta", "-o", "name").count("gadget") == 1
    assert "gamma" in gadgets("get", "gadgets", "--field-selector=spec.color=blue", "-o", "name")
    assert gadgets("get", "gadgets", "--chunk-size=1", "-o", "name").count("gadget") == 3


def test_watching(gadgets: Kubectl) -> None:
    command = [str(gadgets.binary), "get", "gadgets", "-w", "-o", "name"]
    environment = {"KUBECONFIG": str(gadgets.kubeconfig), "HOME": str(gadgets.home), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watcher:
        assert watcher.stdout is not None
        seen = [watcher.stdout.readline().strip() for _ in range(3)]
        gadgets("create", "-f", "-", stdin=manifests.gadget("delta"))
        seen.append(watcher.stdout.readline().strip())
        watcher.terminate()
    assert [name.rsplit("/", 1)[1] for name in seen] == ["alpha", "beta", "gamma", "delta"]


def test_describing(gadgets: Kubectl) -> None:
    shown = gadgets("describe", "gadget", "alpha")
    assert "Color:" in shown
    assert "Events:" in shown
    assert "Name:" in gadgets("describe", "namespace", "default")
    gadgets("create", "configmap", "described", "--from-literal=a=b")
    assert "a:" in gadgets("describe", "configmap", "described")
    gadgets("create", "secret", "generic", "hidden", "--from-literal=a=b")
    assert "1 bytes" in gadgets("describe", "secret", "hidden")


def test_events(gadgets: Kubectl) -> None:
    namespace = gadgets.environment["NAMESPACE"]
    uid = gadgets("get", "gadget", "alpha", "-o", "jsonpath={.metadata.uid}")
    event = f"""
apiVersion: v1
kind: Event
metadata: {{name: alpha.1, namespace: {namespace}}}
involvedObject: {{kind: Gadget, name: alpha, namespace: {namespace}, apiVersion: shop.example.com/v1, uid: {uid}}}
reason: Painted
message: It is red now
type: Normal
firstTimestamp: "2026-01-01T00:00:00Z"
lastTimestamp: "2026-01-01T00:00:00Z"
count: 1
source: {{component: painter}}
"""
    gadgets("create", "-f", "-", stdin=event)
    assert "Painted" in gadgets("get", "events")
    assert "It is red now" in gadgets("describe", "gadget", "alpha")
    if not gadgets.old:
        assert "Painted" in gadgets("events")
