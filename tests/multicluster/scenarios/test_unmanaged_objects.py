"""What a cluster has of its own is left alone, also in the place of a copy, and the user is told (S9)."""

from __future__ import annotations

import json

from kcp.api.placement import SYNC_ERROR_ANNOTATION
from tests.multicluster.scenarios.fleet import Fleet, Object, deployment
from tests.support.waiting import wait_until


def test_objects_without_our_mark_are_reported_and_neither_updated_nor_deleted(fleet: Fleet) -> None:
    fleet.register("us-east1")
    fleet.serves("deployments.apps")
    fleet.kubectl("apply", "-f", "-", stdin=deployment("web", "us-east1"))
    fleet.runs("web", 2)
    east = fleet.on("us-east1")
    (copy,) = copies(fleet, "web")
    there = ("-n", copy["metadata"]["namespace"])
    east("apply", *there, "-f", "-", stdin=deployment("taken", replicas=0))
    east("create", "configmap", "local", *there, "--from-literal=color=local")

    def local() -> list[Object]:
        return [
            json.loads(east("get", *names, *there, "-o", "json")) for names in (("deploy", "taken"), ("cm", "local"))
        ]

    wait_until(lambda: local()[0].get("status", {}).get("observedGeneration") == 1, "its controller has seen it")
    before = local()
    fleet.kubectl("apply", "-f", "-", stdin=deployment("taken", "us-east1", replicas=3))

    def problem() -> str:
        annotations = fleet.get("deploy", "taken")["metadata"].get("annotations", {})
        return str(annotations.get(SYNC_ERROR_ANNOTATION, ""))

    assert wait_until(problem, "the conflict is reported").startswith("NotManaged: ")
    events = ("get", "events", "--field-selector", "reason=NotManaged,involvedObject.name=taken", "-o", "name")
    wait_until(lambda: fleet.kubectl(*events), "an Event tells of it")
    fleet.kubectl("scale", "deploy/taken", "--replicas=4")
    fleet.kubectl("scale", "deploy/web", "--replicas=3")
    fleet.runs("web", 3)
    assert local() == before

    fleet.kubectl("delete", "deploy", "taken", "web")
    wait_until(lambda: not copies(fleet, "web"), "the copy is gone")
    fleet.remove_clusters()
    assert local() == before


def copies(fleet: Fleet, name: str) -> list[Object]:
    """The Deployments of a name in all namespaces of the cluster us-east1."""
    listed = json.loads(fleet.on("us-east1")("get", "deploy", "-A", "-o", "json"))["items"]
    return [each for each in listed if each["metadata"]["name"] == name]
