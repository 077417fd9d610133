"""The worked examples of the write path: the steps of a replace, and two appliers."""

from __future__ import annotations

from typing import Any

from tests.registry.admission_cases import Probe, label, labelled, with_plugins
from tests.support.objects import widget
from tests.support.registry_client import Object, RegistryClient, refused


def owned(obj: Object) -> dict[str, Any]:
    """What each manager owns of the spec."""
    entries = obj["metadata"]["managedFields"]
    return {entry["manager"]: sorted(entry["fieldsV1"].get("f:spec", {}).keys() - {"."}) for entry in entries}


async def test_the_steps_of_a_replace(client: RegistryClient) -> None:
    """The example of `kcp.registry.verbs.writing`."""
    await client.define()
    made = await client.create(client.widgets, widget("a", 1))
    sent = {**made, "spec": {"size": 2, "unknown": 1}, "metadata": {**made["metadata"], "creationTimestamp": None}}
    probe = Probe(label)
    changed = await with_plugins(client, probe).update(client.widgets, sent)
    assert changed["spec"] == {"size": 2, "color": "red"}, "pruned and defaulted"
    assert [seen.operation for seen in probe.mutated] == ["UPDATE"]
    for name in ("uid", "creationTimestamp"):
        assert changed["metadata"][name] == made["metadata"][name]
    assert (made["metadata"]["generation"], changed["metadata"]["generation"]) == (1, 2)
    assert owned(changed) == {"tests": ["f:color", "f:size"]}
    assert labelled(changed)
    assert {request.old_object["spec"]["size"] for request in probe.requests if request.old_object} == {1}
    with refused(409, "Conflict"):
        await client.update(client.widgets, sent)


async def test_two_appliers(client: RegistryClient) -> None:
    """The example of `kcp.registry.verbs.patching`."""
    await client.define()

    async def apply(manager: str, **spec: Any) -> Object:
        return await client.apply(client.widgets, {**widget("a"), "spec": spec}, manager)

    made = await apply("helm", size=1)
    assert (made["spec"], owned(made)) == ({"size": 1, "color": "red"}, {"helm": ["f:size"]})
    with refused(409, "Conflict") as caught:
        await apply("me", size=2, color="blue")
    assert caught.value.details is not None
    assert [cause["field"] for cause in caught.value.details["causes"]] == [".spec.size"]
    shared = await apply("me", size=1, color="blue")
    assert shared["spec"] == {"size": 1, "color": "blue"}
    assert owned(shared) == {"helm": ["f:size"], "me": ["f:color", "f:size"]}
    left = await apply("me", size=1)
    assert (left["spec"], owned(left)) == ({"size": 1, "color": "red"}, {"helm": ["f:size"], "me": ["f:size"]})
