"""What a workload names follows it: ConfigMaps, Secrets, service accounts and claims, over several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kcp.api.kinds import GroupResource
from kcp.multicluster.placement import CLUSTER_LABEL, held_label
from kcp.multicluster.syncer.kinds import kinds
from kcp.multicluster.syncer.ownership import Key
from kcp.multicluster.syncer.references import References
from kcp.multicluster.syncer.transforms import references_of
from tests.multicluster.syncer.conftest import Test
from tests.multicluster.syncer.definitions import CLAIMS, DEPLOYMENTS, Object
from tests.multicluster.syncer.world import (
    CLUSTER,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    World,
    assigned,
    deployment,
    having,
    problem_of,
)
from tests.support.waiting import eventually

Run = Callable[[Test], None]
POD: Object = {
    "serviceAccountName": "default",
    "imagePullSecrets": [{"name": "pull"}],
    "containers": [
        {
            "name": "web",
            "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login"}}],
            "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "login", "key": "key"}}}],
        }
    ],
    "initContainers": [{"name": "init", "envFrom": [{"configMapRef": {"name": "first"}}]}],
    "volumes": [
        {"name": "a", "configMap": {"name": "files"}},
        {"name": "b", "secret": {"secretName": "key"}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "d", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}},
    ],
}


def test_a_pod_names_what_it_mounts_and_reads() -> None:
    rules = kinds().of(GroupResource("apps", "deployments"))
    named = set(references_of({"spec": {"template": {"spec": POD}}}, rules))
    assert named == {
        *(("configmaps", name) for name in ("settings", "first", "files", "kube-root-ca.crt")),
        *(("secrets", name) for name in ("pull", "login", "key")),
        ("serviceaccounts", "default"),
        ("persistentvolumeclaims", "data"),
    }


def test_a_malformed_workload_names_nothing() -> None:
    rules = kinds().of(GroupResource("apps", "deployments"))
    malformed: tuple[Any, ...] = (
        None,
        7,
        [],
        {"template": []},
        {"template": {"spec": {"volumes": {}, "containers": [None, 3, {"env": 1}]}}},
    )
    for spec in malformed:
        assert list(references_of({"spec": spec}, rules)) == []


def test_references_are_counted_by_referrer() -> None:
    references, deployments = References(), GroupResource("apps", "deployments")
    web, worker = Key(deployments, "shop", "web"), Key(deployments, "shop", "worker")
    settings, login = (Key(GroupResource("", "configmaps"), "shop", name) for name in ("settings", "login"))
    assert references.set(web, [settings, login]) == {settings, login}
    assert references.set(worker, [settings]) == {settings}
    assert references.set(web, [login]) == {settings}
    assert references.are_to(settings)
    assert references.set(worker, []) == {settings}
    assert not references.are_to(settings)
    assert references.set(web, ()) == {login}
    assert not len(references)


def test_dependencies_follow_a_workload_change_with_their_source_and_go_with_it(run: Run) -> None:
    async def test(world: World) -> None:
        up, there = world.up.client, world.there
        for name in ("settings", "first", "files", "bystander"):
            await up.resource(CONFIG_MAPS, "shop").create({"metadata": {"name": name}, "data": {"color": "red"}})
        for name in ("login", "pull", "key", "behind"):
            await up.resource(SECRETS, "shop").create({"metadata": {"name": name}})
        account = {"metadata": {"name": "default"}, "imagePullSecrets": [{"name": "behind"}]}
        await up.resource(SERVICE_ACCOUNTS, "shop").apply(account, field_manager="test", force=True)
        await up.resource(CLAIMS, "shop").create({"metadata": {"name": "data"}, "spec": {}})
        async with world.syncing():
            await up.resource(DEPLOYMENTS, "shop").create(deployment(pod=POD))
            copy = await world.down.becomes(DEPLOYMENTS, there, "web")
            pod = copy["spec"]["template"]["spec"]
            assert pod["serviceAccountName"] == "kcp-default"
            assert pod["volumes"][3]["projected"]["sources"][0]["configMap"]["name"] == "kcp-root-ca.crt"
            assert pod["volumes"][0] == POD["volumes"][0]
            for name in ("settings", "first", "files"):
                await world.down.becomes(CONFIG_MAPS, there, name)
            for name in ("login", "pull", "key", "behind"):
                await world.down.becomes(SECRETS, there, name)
            await world.down.becomes(SERVICE_ACCOUNTS, there, "kcp-default")
            await world.down.becomes(CLAIMS, there, "data")
            assert await world.down.get(CONFIG_MAPS, there, "bystander") is None

            source = await up.resource(CONFIG_MAPS, "shop").patch("settings", {"data": {"color": "blue"}})
            assert not source["metadata"].get("finalizers")
            assert source["metadata"]["labels"] == {held_label(CLUSTER): ""}
            await world.down.becomes(CONFIG_MAPS, there, "settings", having("blue", "data", "color"))

            await up.resource(SECRETS, "shop").delete("key")
            await world.down.vanishes(SECRETS, there, "key")

            await up.resource(DEPLOYMENTS, "shop").patch("web", {"spec": {"template": {"spec": {"volumes": None}}}})
            await world.down.vanishes(CONFIG_MAPS, there, "files")
            await world.down.vanishes(CLAIMS, there, "data")
            assert await world.down.get(CONFIG_MAPS, there, "settings")

            await up.resource(DEPLOYMENTS, "shop").delete("web")
            await world.up.vanishes(DEPLOYMENTS, "shop", "web")
            for name in ("login", "pull", "behind"):
                await world.down.vanishes(SECRETS, there, name)
            await world.down.vanishes(SERVICE_ACCOUNTS, there, "kcp-default")
            for name in ("settings", "first"):
                await world.down.vanishes(CONFIG_MAPS, there, name)
            assert await world.copies(CONFIG_MAPS) == []
            await world.up.becomes(CONFIG_MAPS, "shop", "settings", lambda found: not found["metadata"].get("labels"))

    run(test)


def test_a_dependency_that_is_assigned_stays_without_the_workload(run: Run) -> None:
    async def test(world: World) -> None:
        up = world.up.client
        pod = {"containers": [{"name": "web", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}
        async with world.syncing() as syncer:
            await up.resource(CONFIG_MAPS, "shop").create(assigned("settings"))
            await up.resource(DEPLOYMENTS, "shop").create(deployment(pod=pod))
            await world.down.becomes(DEPLOYMENTS, world.there, "web")
            await world.down.becomes(CONFIG_MAPS, world.there, "settings")
            await up.resource(DEPLOYMENTS, "shop").delete("web")
            await world.up.vanishes(DEPLOYMENTS, "shop", "web")
            await eventually(lambda: syncer.is_idle, "nothing is left to do")
            assert await world.down.get(CONFIG_MAPS, world.there, "settings")
            # without its label it stays as long as a workload names it
            await up.resource(DEPLOYMENTS, "shop").create(deployment(pod=pod))
            await world.down.becomes(DEPLOYMENTS, world.there, "web")
            await up.resource(CONFIG_MAPS, "shop").patch("settings", {"metadata": {"labels": {CLUSTER_LABEL: None}}})
            await world.up.becomes(
                CONFIG_MAPS, "shop", "settings", lambda found: not found["metadata"].get("finalizers")
            )
            assert await world.down.get(CONFIG_MAPS, world.there, "settings")

    run(test)


def test_a_credential_of_kcp_is_not_copied(run: Run) -> None:
    async def test(world: World) -> None:
        async with world.syncing():
            token = assigned("token", type="bootstrap.kubernetes.io/token")
            await world.up.client.resource(SECRETS, "shop").create(token)
            found = await world.up.becomes(SECRETS, "shop", "token", problem_of)
            assert problem_of(found).startswith("NotCopied: an object whose type is bootstrap.kubernetes.io/token")
            assert await world.copies(SECRETS) == []

    run(test)
