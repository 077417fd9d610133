"""The default roles and bindings of every logical cluster: virtual, replaced by a write, back after a delete."""

from __future__ import annotations

from kcp.auth.users import authenticated
from kcp.controllers.manager import Manager
from kcp.logical_clusters import LogicalClusterName
from tests.rbac.conftest import GROUP, Access, group, rule, user
from tests.support.registry_client import RegistryClient
from tests.support.waiting import eventually

JANE = authenticated("jane")


async def test_they_are_there_in_every_logical_cluster_without_being_stored(client: RegistryClient) -> None:
    roles = client.type("clusterroles", GROUP)
    names = await client.names(roles)
    assert names == sorted(names)
    assert {"admin", "cluster-admin", "edit", "view", "system:basic-user", "system:discovery"} <= set(names)
    assert await client.at("other").names(roles) == names
    role = await client.get(roles, "cluster-admin")
    assert role["metadata"]["labels"] == {"kubernetes.io/bootstrapping": "rbac-defaults"}
    assert role["metadata"]["annotations"] == {"rbac.authorization.kubernetes.io/autoupdate": "true"}
    assert role["rules"] == [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    assert client.registry.store.revision == 1, "nothing but the identity of the log"


async def test_each_has_a_uid_of_its_own(client: RegistryClient) -> None:
    uids = [
        item["metadata"]["uid"]
        for plural in ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
        for cluster in ("root", "other")
        for item in (await client.at(cluster).list(client.type(plural, GROUP)))["items"]
    ]
    assert len(set(uids)) == len(uids)


async def test_those_of_a_namespace_are_shown_there_and_replaced_alike(client: RegistryClient) -> None:
    roles, bindings = client.type("roles", GROUP), client.type("rolebindings", GROUP)
    in_system = await client.names(roles, namespace="kube-system")
    assert "extension-apiserver-authentication-reader" in in_system
    assert in_system == sorted(in_system)
    assert await client.names(roles, namespace="default") == []
    assert await client.names(roles, namespace="kube-public") == ["system:controller:bootstrap-signer"]
    assert await client.names(roles) == ["system:controller:bootstrap-signer", *in_system]
    await client.create(roles, {"metadata": {"name": "system:controller:bootstrap-signer"}, "rules": []}, "default")
    assert len(await client.names(roles)) == len(in_system) + 2
    watch = await client.watch(bindings, "kube-system")
    name = "system:controller:token-cleaner"
    before = await client.get(bindings, name, "kube-system")
    await client.patch(bindings, name, {"metadata": {"labels": {"mine": "1"}}}, namespace="kube-system")
    assert await client.delete(bindings, name, "kube-system")
    assert await client.get(bindings, name, "kube-system") == before
    assert await watch.events(2) == [("MODIFIED", name), ("MODIFIED", name)]


async def test_a_role_of_a_namespace_is_in_force(access: Access) -> None:
    scheduler = authenticated("system:kube-scheduler")
    lease = "coordination.k8s.io/leases"
    assert await access.allows(scheduler, "update", lease, "kube-system", "kube-scheduler")
    assert not await access.allows(JANE, "update", lease, "kube-system", "kube-scheduler")


async def test_they_are_listed_in_pages_with_stored_ones(client: RegistryClient) -> None:
    roles = client.type("clusterroles", GROUP)
    expected = sorted([*await client.names(roles), "b", "zz"])
    for name in ("b", "zz"):
        await client.create(roles, {"metadata": {"name": name}, "rules": []})
    seen, token = [], ""
    while True:
        page = await client.list(roles, limit=3, continue_token=token)
        seen += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert seen == expected


async def test_they_are_found_by_label_and_by_name(client: RegistryClient) -> None:
    roles = client.type("clusterroles", GROUP)
    labelled = await client.names(roles, labels="rbac.authorization.k8s.io/aggregate-to-admin=true")
    assert labelled == ["edit", "system:aggregate-to-admin"]
    assert await client.names(roles, fields="metadata.name=view") == ["view"]


async def test_a_write_stores_one_and_a_delete_brings_the_default_back(client: RegistryClient) -> None:
    roles = client.type("clusterroles", GROUP)
    before = await client.get(roles, "view")
    watch = await client.watch(roles)
    await client.patch(roles, "view", {"metadata": {"labels": {"mine": "1"}}})
    assert (await client.get(roles, "view"))["metadata"]["labels"]["mine"] == "1"
    assert "mine" not in (await client.at("other").get(roles, "view"))["metadata"]["labels"]
    assert await client.delete(roles, "view")
    assert await client.get(roles, "view") == before
    (written, now), (restored, default) = await watch.event(), await watch.event()
    assert (written, now["metadata"]["labels"]["mine"]) == ("MODIFIED", "1")
    assert (restored, default["metadata"]["labels"]) == ("MODIFIED", before["metadata"]["labels"])


async def test_a_watch_by_label_sees_the_default_come_back(client: RegistryClient) -> None:
    roles = client.type("clusterroles", GROUP)
    watch = await client.watch(roles, labels="kubernetes.io/bootstrapping=rbac-defaults")
    await client.patch(roles, "view", {"metadata": {"labels": {"kubernetes.io/bootstrapping": None}}})
    await client.delete(roles, "view")
    assert await watch.events(2) == [("DELETED", "view"), ("ADDED", "view")]


async def test_a_delete_of_one_that_is_not_stored_changes_nothing(client: RegistryClient) -> None:
    roles = client.type("clusterroles", GROUP)
    before = await client.get(roles, "view")
    assert await client.delete(roles, "view")
    assert await client.get(roles, "view") == before


async def test_the_aggregated_roles_have_the_rules_of_those_that_they_select(client: RegistryClient) -> None:
    roles = client.type("clusterroles", GROUP)
    view, edit, admin = [(await client.get(roles, name))["rules"] for name in ("view", "edit", "admin")]
    own = (await client.get(roles, "system:aggregate-to-edit"))["rules"]
    assert view == (await client.get(roles, "system:aggregate-to-view"))["rules"]
    assert [each for each in (*view, *own) if each not in edit] == []
    assert [each for each in edit if each not in admin] == []


async def test_custom_resources_join_the_aggregated_roles_by_a_label(access: Access, controllers: Manager) -> None:
    await access.bind("jane-views", "ClusterRole/view", user("jane"))
    await access.bind("team-edits", "ClusterRole/edit", group("team"))
    view = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    await access.role("widget-reader", rule("get", "widgets", ["example.com"]), namespace="", labels=view)

    async def joined() -> bool:
        return await access.allows(JANE, "get", "example.com/widgets")

    await eventually(joined, "view has the rule")
    assert await access.allows(JANE, "get", "configmaps"), "the default rules stay"

    async def inherited() -> bool:
        return await access.allows(authenticated("joe", groups=("team",)), "get", "example.com/widgets")

    await eventually(inherited, "edit collects the rules of view")
    other = Access(access.client, LogicalClusterName("other"))
    await other.bind("jane-views", "ClusterRole/view", user("jane"))
    assert not await other.allows(JANE, "get", "example.com/widgets")
    await access.client.delete(access.client.type("clusterroles", GROUP), "widget-reader")

    async def left() -> bool:
        return not await access.allows(JANE, "get", "example.com/widgets")

    await eventually(left, "view has lost the rule")


async def test_a_role_of_a_user_collects_rules_too(access: Access, controllers: Manager) -> None:
    roles = access.client.type("clusterroles", GROUP)
    selector = {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}
    await access.role("collected", namespace="", aggregationRule={"clusterRoleSelectors": [selector]})
    await access.role("b-reads", rule("get", "configmaps"), namespace="", labels={"team": "b"})
    await access.role("a-reads", rule("get", "secrets"), namespace="", labels={"team": "a"})
    await access.role("c-reads", rule("get", "events"), namespace="", labels={"team": "c"})

    async def collected() -> bool:
        rules = (await access.client.get(roles, "collected")).get("rules")
        return rules == [
            {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]},
            {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]},
        ]

    await eventually(collected, "the rules of both roles, in the order of their names")
