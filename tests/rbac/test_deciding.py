"""What roles and bindings of a logical cluster allow, from the next request on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kcp.api.errors import StatusError
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import NO_OPINION, Decision, decided
from kcp.auth.authorization.constant import MASTERS_ONLY
from kcp.auth.authorization.rbac import permissions, policies, role_cache
from kcp.auth.authorization.rbac.roles import CompiledRole, compile_rules, requested
from kcp.auth.users import ANONYMOUS, MASTERS, User, authenticated
from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import UNREADABLE, Event, Key, Record
from tests.rbac.conftest import GROUP, Access, group, rule, user

ADMIN = authenticated("root", groups=(MASTERS,))
JANE = authenticated("jane", groups=("devs",))
ROBOT = authenticated("system:serviceaccount:team:robot", groups=("system:serviceaccounts",))
OTHER = LogicalClusterName("other")


async def test_nothing_is_allowed_without_a_binding(access: Access) -> None:
    assert await access.decide(JANE, "get", "configmaps") == NO_OPINION
    assert await access.allows(ADMIN, "get", "configmaps")


async def test_a_role_binding_grants_a_role_in_its_namespace(access: Access) -> None:
    await access.role("reader", rule("get,list", "configmaps"))
    await access.bind("jane-reads", "Role/reader", user("jane"))
    decision = await access.decide(JANE, "get", "configmaps", name="a")
    assert decision == Decision(
        True,
        'RBAC: allowed by RoleBinding "jane-reads/default" of Role "reader" to User "jane"',
    )
    assert await access.allows(JANE, "list", "configmaps")
    assert not await access.allows(JANE, "delete", "configmaps")
    assert not await access.allows(JANE, "get", "secrets")
    assert not await access.allows(JANE, "get", "apps/configmaps")
    assert not await access.allows(JANE, "list", "configmaps", namespace="kube-system")
    assert not await access.allows(JANE, "list", "configmaps", namespace="")
    assert not await access.allows(ROBOT, "list", "configmaps")


async def test_a_role_binding_may_grant_a_cluster_role_in_its_namespace_only(access: Access) -> None:
    await access.role("reader", rule("get", "configmaps"), namespace="")
    await access.bind("devs-read", "ClusterRole/reader", group("devs"))
    decision = await access.decide(JANE, "get", "configmaps")
    assert decision.reason == 'RBAC: allowed by RoleBinding "devs-read/default" of ClusterRole "reader" to Group "devs"'
    assert not await access.allows(JANE, "get", "configmaps", namespace="kube-system")


async def test_a_cluster_role_binding_grants_a_role_everywhere(access: Access) -> None:
    await access.role("reader", rule("get", "configmaps"), namespace="")
    await access.bind("devs-read", "ClusterRole/reader", group("devs"), namespace="")
    decision = await access.decide(JANE, "get", "configmaps", namespace="kube-system")
    assert decision.reason == 'RBAC: allowed by ClusterRoleBinding "devs-read" of ClusterRole "reader" to Group "devs"'
    assert await access.allows(JANE, "get", "configmaps", namespace="")


@pytest.mark.parametrize("namespace", ["team", None])
async def test_a_service_account_is_named_by_its_namespace_or_that_of_the_binding(
    access: Access, namespace: str | None
) -> None:
    await access.client.create(access.client.type("namespaces"), {"metadata": {"name": "team"}}, "")
    await access.role("reader", rule("get", "configmaps"), namespace="team")
    account = {"kind": "ServiceAccount", "name": "robot", **({"namespace": namespace} if namespace else {})}
    await access.bind("robot-reads", "Role/reader", account, namespace="team")
    decision = await access.decide(ROBOT, "get", "configmaps", namespace="team")
    assert decision.reason.endswith('RoleBinding "robot-reads/team" of Role "reader" to ServiceAccount "robot/team"')


async def test_a_rule_may_name_objects(access: Access) -> None:
    await access.role("reader", rule("get,list", "configmaps", names=["a", "b"]))
    await access.bind("jane-reads", "Role/reader", user("jane"))
    assert await access.allows(JANE, "get", "configmaps", name="a")
    assert not await access.allows(JANE, "get", "configmaps", name="c")
    assert not await access.allows(JANE, "list", "configmaps"), "a collection has no name"


@pytest.mark.parametrize("granted", ["widgets/scale", "*/scale", "*"])
async def test_a_subresource_is_granted_by_its_own_name(access: Access, granted: str) -> None:
    await access.role("scaler", rule("update", granted, ["example.com"]))
    await access.bind("jane-scales", "Role/scaler", user("jane"))
    assert await access.allows(JANE, "update", "example.com/widgets:scale", name="a")
    assert not await access.allows(JANE, "update", "other.com/widgets:scale", name="a")


async def test_a_resource_does_not_include_its_subresources(access: Access) -> None:
    await access.role("writer", rule("update", "widgets", ["example.com"]))
    await access.bind("jane-writes", "Role/writer", user("jane"))
    assert await access.allows(JANE, "update", "example.com/widgets", name="a")
    assert not await access.allows(JANE, "update", "example.com/widgets:status", name="a")


@pytest.mark.parametrize(
    ("pattern", "path", "allowed"),
    [
        ("/metrics", "/metrics", True),
        ("/metrics", "/metrics/x", False),
        ("/debug/*", "/debug/x", True),
        ("/debug/*", "/debug", False),
        ("*", "/anything", True),
        ("*/x", "/a/x", False),
    ],
)
async def test_paths_are_granted_by_equality_or_prefix(access: Access, pattern: str, path: str, allowed: bool) -> None:
    await access.role("reader", {"verbs": ["get"], "nonResourceURLs": [pattern]}, namespace="")
    await access.bind("jane-reads", "ClusterRole/reader", user("jane"), namespace="")
    assert await access.allows_path(JANE, path) is allowed
    assert await access.allows_path(JANE, path, "head") is allowed
    assert not await access.allows_path(JANE, path, "post")


async def test_a_change_is_in_force_for_the_next_request(access: Access) -> None:
    await access.role("reader", rule("get", "configmaps"))
    assert not await access.allows(JANE, "get", "configmaps")
    await access.bind("jane-reads", "Role/reader", user("jane"))
    assert await access.allows(JANE, "get", "configmaps")
    await access.client.patch(
        access.client.type("roles", "rbac.authorization.k8s.io"), "reader", {"rules": [rule("get", "secrets")]}
    )
    assert not await access.allows(JANE, "get", "configmaps")
    assert await access.allows(JANE, "get", "secrets")
    await access.client.patch(
        access.client.type("rolebindings", "rbac.authorization.k8s.io"), "jane-reads", {"subjects": [user("joe")]}
    )
    assert not await access.allows(JANE, "get", "secrets")
    assert await access.allows(authenticated("joe"), "get", "secrets")
    await access.unbind("jane-reads")
    assert not await access.allows(authenticated("joe"), "get", "secrets")


async def test_a_binding_grants_its_role_once_there_is_one(access: Access) -> None:
    await access.bind("jane-reads", "Role/reader", user("jane"))
    await access.bind("jane-writes", "ClusterRole/writer", user("jane"))
    decision = await access.decide(JANE, "get", "configmaps")
    assert decision.reason == (
        'RBAC: [role.rbac.authorization.k8s.io "reader" not found, clusterrole.rbac.authorization.k8s.io "writer" not found]'
    )
    await access.role("reader", rule("get", "configmaps"))
    assert await access.allows(JANE, "get", "configmaps")


async def test_the_bindings_of_a_logical_cluster_grant_nothing_in_another(access: Access) -> None:
    await access.role("reader", rule("*", "*", ["*"]), namespace="")
    await access.bind("jane-reads", "ClusterRole/reader", user("jane"), namespace="")
    other = Access(access.client, OTHER)
    assert await access.allows(JANE, "get", "secrets")
    assert not await other.allows(JANE, "get", "secrets")
    attributes = AuthorizationAttributes(OTHER, "get", resource="secrets", namespace="default")
    assert not (await decided(access.authorizer.decide(JANE, attributes))).allowed


async def test_only_masters_may_ask_all_logical_clusters(access: Access) -> None:
    await access.bind("jane-rules", "ClusterRole/cluster-admin", user("jane"), namespace="")
    assert await access.allows(JANE, "delete", "secrets")
    for attributes in (
        AuthorizationAttributes(WILDCARD, "list", resource="secrets"),
        AuthorizationAttributes(WILDCARD, "get", is_resource=False, path="/api"),
    ):
        decision = await decided(access.authorizer.decide(JANE, attributes))
        assert decision == MASTERS_ONLY
        assert (await decided(access.authorizer.decide(ADMIN, attributes))).allowed
    assert await access.authorizer.rules_for(JANE, WILDCARD, "default") == ((), (), "", False)


async def test_default_roles_are_everywhere(access: Access) -> None:
    assert await access.allows_path(JANE, "/apis")
    assert not await access.allows_path(ANONYMOUS, "/apis")
    assert await access.allows_path(ANONYMOUS, "/healthz")
    review = "authorization.k8s.io/selfsubjectaccessreviews"
    assert await access.allows(JANE, "create", review, namespace="")
    assert not await access.allows(ANONYMOUS, "create", review, namespace="")


async def test_a_stored_binding_replaces_the_default_one_until_it_is_deleted(access: Access) -> None:
    bindings = access.client.type("clusterrolebindings", "rbac.authorization.k8s.io")
    await access.client.patch(bindings, "system:discovery", {"subjects": []})
    assert not await access.allows_path(JANE, "/apis")
    await access.client.delete(bindings, "system:discovery")
    assert await access.allows_path(JANE, "/apis")


async def test_a_stored_role_replaces_the_default_one_until_it_is_deleted(access: Access) -> None:
    assert await access.allows_path(JANE, "/apis")
    roles = access.client.type("clusterroles", "rbac.authorization.k8s.io")
    await access.client.patch(roles, "system:discovery", {"rules": []})
    assert not await access.allows_path(JANE, "/apis")
    assert not await Access(access.client).allows_path(JANE, "/apis"), "read after a restart"
    await access.client.delete(roles, "system:discovery")
    assert await access.allows_path(JANE, "/apis")


async def test_many_bindings_are_read_in_slices_and_miss_no_change(access: Access) -> None:
    await access.role("reader", rule("get", "configmaps"), namespace="")
    for number in range(250):
        await access.bind(f"binding-{number:03}", "ClusterRole/reader", user(f"user-{number:03}"))
    reading = Access(access.client)
    asked = AuthorizationAttributes(access.cluster, "get", resource="configmaps", namespace="default")
    pending = reading.authorizer.decide(authenticated("user-249"), asked)
    assert not isinstance(pending, tuple), "the first decision waits"
    await access.unbind("binding-249")
    await access.bind("late", "ClusterRole/reader", user("late"))
    assert not (await decided(pending)).allowed
    assert await reading.allows(authenticated("late"), "get", "configmaps")
    assert await reading.allows(authenticated("user-000"), "get", "configmaps")


async def test_only_the_logical_clusters_in_use_are_kept(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "MAX_CLUSTERS", 2)
    names = [LogicalClusterName(f"tenant-{number}") for number in range(4)]
    for name in names:
        tenant = Access(access.client, name)
        await tenant.bind("jane-rules", "ClusterRole/cluster-admin", user("jane"), namespace="")
    for _ in range(2):
        for name in names:
            asked = AuthorizationAttributes(name, "get", resource="secrets", namespace="default")
            assert (await decided(access.authorizer.decide(JANE, asked))).allowed
    assert len(access.policies._by_cluster) == 2


async def test_the_rules_of_a_user_are_those_of_all_its_roles(access: Access) -> None:
    await access.role("reader", rule("get", "configmaps", names=["a"]))
    await access.bind("jane-reads", "Role/reader", user("jane"))
    await access.bind("devs-read", "Role/reader", group("devs"))
    rules = await access.rules(JANE)
    assert [each for each in rules.resources if "configmaps" in each.resources] == [
        (("get",), ("",), ("configmaps",), ("a",))
    ]
    assert not rules.incomplete
    assert not rules.problem
    assert not [each for each in (await access.rules(JANE, "kube-system")).resources if "configmaps" in each.resources]
    everything = await access.rules(ADMIN)
    assert everything.resources[0] == (("*",), ("*",), ("*",), ())
    assert everything.paths[0] == (("*",), ("*",))


async def test_a_role_that_is_missing_is_reported_with_complete_rules(access: Access) -> None:
    await access.bind("jane-reads", "Role/reader", user("jane"))
    rules = await access.rules(JANE)
    assert rules.problem == 'role.rbac.authorization.k8s.io "reader" not found'
    assert not rules.incomplete


async def test_users_without_groups_and_of_many_groups_are_decided_alike(access: Access) -> None:
    await access.role("reader", rule("get", "configmaps"))
    await access.bind("g", "Role/reader", group("g-299"))
    many = User("joe", groups=tuple(f"g-{number}" for number in range(300)))
    for _ in range(2):
        assert await access.allows(many, "get", "configmaps")
        assert not await access.allows(User("joe"), "get", "configmaps")


async def test_roles_that_only_clients_have_named_are_not_kept_for_ever(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_cache, "MAX_BYTES", 1000)
    rules = [rule("create", "rolebindings", (GROUP,))]
    await access.role("binder", *rules)
    await access.bind("binds", "Role/binder", user("jane"))
    for number in range(25):
        reference = {"apiGroup": GROUP, "kind": "Role", "name": f"role-{number}"}
        with pytest.raises(StatusError, match="not found"):
            await access.create_as(JANE, "rolebindings", {"metadata": {"name": "b"}, "roleRef": reference}, "default")
        assert access.policies.roles.cache.size <= 1000
    assert await access.allows(JANE, "create", f"{GROUP}/rolebindings")


async def test_of_many_cluster_roles_each_is_looked_up_by_its_name(access: Access) -> None:
    await access.role("role-0", rule("get", "configmaps"), namespace="")
    await access.bind("reads", "ClusterRole/role-99", user("jane"))
    assert not await access.allows(JANE, "get", "configmaps")
    for number in range(1, 100):
        await access.role(f"role-{number}", rule("get", "configmaps"), namespace="")
    kept = await access.policies.current(access.cluster)
    assert kept._own_cluster_roles is None
    assert await access.allows(JANE, "get", "configmaps")


async def test_names_in_very_many_rules_and_in_one_rule_are_all_allowed(access: Access) -> None:
    """With a set that is copied for each rule, this takes minutes."""
    rules = [
        {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": [f"n-{n}"]}
        for n in range(100_000)
    ]
    found = compile_rules(rules).names_allowed(requested("get", "", "configmaps"))
    assert found == {f"n-{number}" for number in range(100_000)}
    many = [f"m-{number}" for number in range(1000)]
    await access.role("many", rule("get", "configmaps", names=many))
    await access.role("few", rule("get", "configmaps", names=["a"]), rule("get", "configmaps", names=["b"]))
    await access.bind("jane-reads-many", "Role/many", user("jane"))
    await access.bind("jane-reads-few", "Role/few", user("jane"))
    for _ in range(2):
        for name, allowed in (("m-0", True), ("m-999", True), ("a", True), ("b", True), ("m-1000", False), ("", False)):
            assert await access.allows(JANE, "get", "configmaps", name=name) is allowed
    assert (await access.decide(JANE, "get", "configmaps", name="m-7")).reason.startswith(
        "RBAC: allowed by RoleBinding"
    )


async def test_a_large_role_is_compiled_beside_the_event_loop_and_as_it_is_then(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"a-name-of-some-length-{number}" for number in range(2000)]
    await access.role("large", rule("get", "configmaps", names=names))
    await access.bind("jane-reads", "Role/large", user("jane"))
    asked = AuthorizationAttributes(access.cluster, "get", resource="configmaps", namespace="default", name=names[-1])
    pending = [access.authorizer.decide(JANE, asked) for _ in range(3)]
    assert not any(isinstance(each, tuple) for each in pending), "the decisions wait"
    assert all([(await decided(each)).allowed for each in pending])
    assert (await decided(access.authorizer.decide(ROBOT, asked))) == NO_OPINION
    kept = access.authorizer.decide(JANE, asked)
    assert isinstance(kept, tuple)
    assert kept.allowed
    assert [each.names for each in (await access.rules(JANE)).resources if each.names] == [tuple(names)]

    begun, go_on = asyncio.Event(), asyncio.Event()

    async def in_slow_thread(function: Callable[[bytes], CompiledRole], value: bytes) -> CompiledRole:
        begun.set()
        await go_on.wait()
        return function(value)

    monkeypatch.setattr(permissions, "in_thread", in_slow_thread)
    await access.client.patch(access.client.type("roles", GROUP), "large", {"metadata": {"labels": {"a": "b"}}})
    waiting = asyncio.ensure_future(decided(access.authorizer.decide(JANE, asked)))
    await begun.wait()
    await access.client.delete(access.client.type("roles", GROUP), "large", "default")
    go_on.set()
    assert (await waiting).reason == 'RBAC: role.rbac.authorization.k8s.io "large" not found'


async def test_a_large_binding_is_read_beside_the_event_loop(access: Access) -> None:
    await access.role("reader", rule("get", "configmaps"), namespace="")
    subjects = [user(f"a-user-with-a-name-of-some-length-{number}") for number in range(1000)]
    last = authenticated("a-user-with-a-name-of-some-length-999")
    await access.bind("few", "ClusterRole/reader", user("jane"))
    assert await access.allows(JANE, "get", "configmaps")
    await access.bind("many", "ClusterRole/reader", *subjects)
    asked = AuthorizationAttributes(access.cluster, "get", resource="configmaps", namespace="default")
    pending = access.authorizer.decide(last, asked)
    assert not isinstance(pending, tuple), "the decision waits"
    await access.unbind("few")
    assert (await decided(pending)).allowed
    assert not await access.allows(JANE, "get", "configmaps")
    await access.unbind("many")
    assert not await access.allows(last, "get", "configmaps")


async def test_a_logical_cluster_with_very_many_subjects_displaces_no_other(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "MAX_SUBJECTS", 10)
    for name in ("small-a", "many", "small-b"):
        tenant = Access(access.client, LogicalClusterName(name))
        subjects = [user(f"user-{number}") for number in range(20 if name == "many" else 1)]
        await tenant.bind("rules", "ClusterRole/cluster-admin", *subjects, namespace="")
    for name in ("small-a", "many", "small-b", "many"):
        asked = AuthorizationAttributes(LogicalClusterName(name), "get", resource="secrets", namespace="default")
        assert (await decided(access.authorizer.decide(authenticated("user-0"), asked))).allowed
    assert set(access.policies._by_cluster) == {"small-a", "small-b", "many"}
    asked = AuthorizationAttributes(LogicalClusterName("small-c"), "get", resource="secrets", namespace="default")
    assert not (await decided(access.authorizer.decide(JANE, asked))).allowed
    assert set(access.policies._by_cluster) == {"small-a", "small-b", "small-c"}


async def test_a_binding_that_became_unreadable_grants_nothing_more(access: Access) -> None:
    """As when another server writes it with an encryption key that this one does not have."""
    await access.role("reader", rule("get", "configmaps"))
    await access.bind("jane-reads", "Role/reader", user("jane"))
    assert await access.allows(JANE, "get", "configmaps")
    key = Key(f"rolebindings.{GROUP}", access.cluster, "default", "jane-reads")
    access.policies._on_change([Event(99, key, Record(key, 99, UNREADABLE, ""), None)])
    assert not await access.allows(JANE, "get", "configmaps")


async def test_very_many_rules_are_all_listed_and_may_be_granted(access: Access) -> None:
    many = [rule("get", "configmaps", names=[f"n-{number}"]) for number in range(1500)]
    await access.role("many", *many, namespace="")
    await access.role("writers", rule("create", "clusterroles", ["rbac.authorization.k8s.io"]), namespace="")
    for role in ("many", "writers"):
        await access.bind(f"jane-{role}", f"ClusterRole/{role}", user("jane"), namespace="")
    listed = [each.names for each in (await access.rules(JANE)).resources if each.names]
    assert listed == [(f"n-{number}",) for number in range(1500)]
    await access.create_as(JANE, "clusterroles", {"metadata": {"name": "granted"}, "rules": many[:3]})
    with pytest.raises(StatusError, match="attempting to grant"):
        await access.create_as(JANE, "clusterroles", {"metadata": {"name": "more"}, "rules": [rule("get", "secrets")]})


async def test_a_stored_role_replaces_the_default_one_without_any_stored_binding(access: Access) -> None:
    signer = authenticated("system:serviceaccount:kube-system:bootstrap-signer")
    name, namespace = "system:controller:bootstrap-signer", "kube-system"
    assert await access.allows(signer, "list", "secrets", namespace)
    roles = access.client.type("roles", GROUP)
    await access.client.patch(roles, name, {"rules": []}, namespace=namespace)
    for reading in (access, Access(access.client)):
        assert not await reading.allows(signer, "list", "secrets", namespace)
    await access.client.delete(roles, name, namespace)
    assert await access.allows(signer, "list", "secrets", namespace)
