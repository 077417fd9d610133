"""Objects of Kubernetes' kinds: kcp stores what a cluster stores, but for what the table of differences names."""

from __future__ import annotations

import base64
import copy
import re
from collections import Counter
from pathlib import Path

import pytest

from kcp.api.protobuf import CONTENT_TYPE, decode_body, encode_body
from kcp.builtin.registration import declare
from kcp.client import Client, InvalidError, StatusError, load_configuration
from kcp.registry.verbs.repeated_items import MAY_REPEAT
from tests.multicluster.conftest import PulledCluster
from tests.multicluster.differences import REAL, Difference, differences, rows
from tests.multicluster.objects import NAMESPACE, Object, manifests, patched_copy, patches
from tests.multicluster.recordings import recorded_objects, recording
from tests.support.running_coroutines import Enter

PAGE = (Path(__file__).parents[2] / "docs" / "crd-puller.md").read_text()
WITHOUT_MANIFEST = {"ComponentStatus", "CustomResourceDefinition"}
"""The kinds that no client creates in a test: the first is read-only, the second is kcp's own."""
NAMED_BY_CONTENT = ("APIService", "Namespace")
"""The kinds whose objects cannot be renamed without changing them."""
NOT_VALIDATED = {"a volume of another kind without retained keys has both and is refused"}
"""Patches that the cluster refuses by a rule of the kind that no schema contains."""


@pytest.fixture
def client(enter: Enter, pulled: PulledCluster) -> Client:
    return enter(Client(load_configuration(pulled.cluster.kubeconfig, qps=0.0)))


async def create(client: Client, manifest: Object) -> Object:
    resource = await client.of_object({**manifest, "metadata": {"namespace": NAMESPACE, **manifest["metadata"]}})
    return await resource.create(copy.deepcopy(manifest), field_validation="Strict")


def renamed(manifest: Object, prefix: str) -> Object:
    return {**manifest, "metadata": {**manifest["metadata"], "name": f"{prefix}-{manifest['metadata']['name']}"}}


def unlike(found: list[Difference]) -> list[str]:
    return [f"{each.path}: {each.kcp!r}, and {each.cluster!r} in the cluster" for each in found if each.class_ == REAL]


def test_there_is_a_manifest_of_each_kind() -> None:
    kinds = {manifest["kind"] for manifest in manifests().values()}
    assert {resource.kind for resource in recording("1.36").preferred()} - kinds == WITHOUT_MANIFEST


async def test_each_object_is_stored_as_in_the_cluster(client: Client) -> None:
    problems, used, counts = {}, set(), Counter[str]()
    for name, manifest in manifests().items():
        found = differences(await create(client, manifest), recorded_objects().stored[name])
        used |= {each.row for each in found}
        counts.update(each.class_ for each in found)
        if real := unlike(found):
            problems[name] = real
    assert "\n".join(f"{name}: {'; '.join(real)}" for name, real in problems.items()) == ""
    assert rows() - used == set(), "rows of the table that no object needs"
    documented = dict(
        re.findall(r"^\| (zero values|defaults|admission|status|allocated)\b[^|]*\| (\d+) \|", PAGE, re.MULTILINE)
    )
    assert {class_: int(count) for class_, count in documented.items()} == counts
    assert f"| objects compared | {len(manifests())} of " in PAGE


async def test_an_applied_null_is_no_value(client: Client) -> None:
    manifest = copy.deepcopy(renamed(manifests()["Deployment/deployment-minimal"], "applied"))
    manifest["metadata"]["namespace"] = NAMESPACE
    template = manifest["spec"]["template"]
    template["metadata"]["creationTimestamp"] = template["spec"]["containers"][0]["args"] = None
    resource = await client.of_object(manifest)
    made = (await resource.apply(manifest, field_manager="test"))["spec"]["template"]
    assert made["metadata"] == {"labels": {"app": "web"}}
    assert "args" not in made["spec"]["containers"][0]


async def test_a_replace_needs_no_resource_version(client: Client) -> None:
    manifest = renamed(manifests()["Deployment/deployment-minimal"], "replaced")
    made = await create(client, manifest)
    resource = await client.of_object(made)
    changed = await resource.replace({**manifest, "spec": {**manifest["spec"], "replicas": 5}})
    assert (changed["spec"]["replicas"], changed["metadata"]["generation"]) == (5, 2)


@pytest.mark.parametrize("list_", ["containers", "volumes"])
async def test_items_whose_names_must_differ_are_refused_if_they_do_not(client: Client, list_: str) -> None:
    manifest = copy.deepcopy(renamed(manifests()["Deployment/deployment-rich"], f"repeated-{list_}"))
    items = manifest["spec"]["template"]["spec"][list_]
    items.append(items[0])
    with pytest.raises(InvalidError, match=rf"spec.template.spec.{list_}\[1\]: Duplicate value"):
        await create(client, manifest)


ADDRESS = {"type": "InternalIP", "address": "10.0.0.1"}
REPEATED: dict[str, tuple[str, Object]] = {
    "addresses": ("Node/node-minimal", {"status": {"addresses": [ADDRESS, {**ADDRESS, "address": "fd00::1"}]}}),
    "conditions": ("Node/node-minimal", {"status": {"conditions": 2 * [{"type": "Ready", "status": "True"}]}}),
    "available": (
        "Deployment/deployment-minimal",
        {"status": {"conditions": 2 * [{"type": "Available", "status": "True"}]}},
    ),
    "endpoints": ("EndpointSlice/slice-minimal", {"endpoints": [{"addresses": ["10.0.0.1", "10.0.0.1"]}]}),
}


@pytest.mark.parametrize("case", REPEATED)
async def test_items_may_repeat_where_the_cluster_does_not_validate_them(client: Client, case: str) -> None:
    name, change = REPEATED[case]
    made = await create(client, {**renamed(manifests()[name], f"repeated-{case}"), **change})
    if "status" in change:
        made = await (await client.of_object(made)).replace({**made, **change}, subresource="status")
    for section, content in change.items():
        found = made[section]
        assert (content.items() <= found.items()) if isinstance(content, dict) else (content == found)


async def test_an_address_of_a_node_that_is_there_twice_is_refused(client: Client) -> None:
    made = await create(client, renamed(manifests()["Node/node-minimal"], "twice"))
    resource = await client.of_object(made)
    with pytest.raises(InvalidError, match=r"status.addresses\[1\]: Duplicate value"):
        await resource.replace({**made, "status": {"addresses": [ADDRESS, ADDRESS]}}, subresource="status")


async def test_ports_of_a_service_with_equal_numbers_and_protocols_are_refused(client: Client) -> None:
    ports = [{"name": name, "port": 80, "protocol": "TCP"} for name in ("a", "b")]
    manifest = {**renamed(manifests()["Service/service-minimal"], "ports"), "spec": {"ports": ports}}
    with pytest.raises(InvalidError, match=r"spec.ports\[1\]: Duplicate value"):
        await create(client, manifest)


def test_a_list_whose_items_may_repeat_is_a_list_map_or_set_of_a_recorded_kind() -> None:
    kinds = {resource.kind for resource in recording("1.36").preferred()}
    assert {kind for row in MAY_REPEAT for kind in row.kinds} <= kinds


@pytest.mark.parametrize("name", [name for name in manifests() if not name.startswith(NAMED_BY_CONTENT)])
async def test_an_object_sent_as_protobuf_is_stored_as_one_sent_as_json(client: Client, name: str) -> None:
    manifest = renamed(manifests()[name], "json")
    resource = await client.of_object({**manifest, "metadata": {"namespace": NAMESPACE, **manifest["metadata"]}})
    by_json = await resource.create(manifest)
    sent = renamed({**by_json, "metadata": manifest["metadata"]}, "protobuf")
    path = resource.path().removeprefix(f"/clusters/{client.cluster}")
    answer = await client.raw("POST", path, encode_body(sent), content_type=CONTENT_TYPE)
    stored = answer.json()
    stored["metadata"]["name"] = by_json["metadata"]["name"]
    assert unlike(differences(stored, by_json)) == []


@pytest.mark.parametrize("name", manifests())
def test_the_clusters_protobuf_decodes_to_its_json(name: str) -> None:
    declare()
    as_json, as_protobuf = recorded_objects().protobuf[name]
    decoded = decode_body(base64.b64decode(as_protobuf))
    assert unlike(differences(decoded, as_json)) == []


async def test_strategic_merge_patches_make_what_they_make_in_the_cluster(client: Client) -> None:
    problems: dict[str, object] = {}
    for number, (patch, expected) in enumerate(zip(patches(), recorded_objects().patched, strict=True)):
        made = await create(client, patched_copy(patch, f"patched-{number}"))
        resource = await client.of_object(made)
        try:
            result = await resource.patch(made["metadata"]["name"], patch.patch, strategic=True)
        except StatusError as error:
            if not isinstance(expected, int):
                problems[patch.title] = str(error)
            continue
        if isinstance(expected, int):
            if patch.title not in NOT_VALIDATED:
                problems[patch.title] = f"accepted, and refused with {expected} in the cluster"
        elif real := unlike(differences(result, expected)):
            problems[patch.title] = "; ".join(real)
    assert "\n".join(f"{title}: {problem}" for title, problem in problems.items()) == ""
