"""Nobody grants what they do not have: writes of roles and bindings by users who are not members of system:masters."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.api.errors import StatusError
from kcp.auth.authorization.rbac import escalation
from kcp.auth.users import authenticated
from tests.rbac.conftest import GROUP, Access, group, rule, user
from tests.support.registry_client import Object

JANE = authenticated("jane", groups=("devs",))
READER: Object = {"metadata": {"name": "reader"}, "rules": [rule("get,list", "configmaps")]}
BINDING: Object = {
    "metadata": {"name": "joe-reads"},
    "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "reader"},
    "subjects": [user("joe")],
}


def copied(obj: Object, **more: Any) -> Object:
    return {**obj, "metadata": dict(obj["metadata"]), **more}


async def allowed_to_write(access: Access, *rules: Object, namespace: str = "") -> None:
    """Let Jane write roles and bindings, and what the rules allow."""
    await access.role("jane", rule("create,update,get", "roles,rolebindings", [GROUP]), *rules, namespace=namespace)
    kind = "Role" if namespace else "ClusterRole"
    await access.bind("jane", f"{kind}/jane", user("jane"), namespace=namespace)


async def test_a_role_may_have_what_its_author_has(access: Access) -> None:
    await allowed_to_write(access, rule("get,list", "configmaps"))
    await access.create_as(JANE, "roles", copied(READER), "default")
    await access.create_as(JANE, "clusterroles", copied(READER))


async def test_a_role_may_not_have_what_its_author_lacks(access: Access) -> None:
    await allowed_to_write(access, rule("get", "configmaps"))
    rules = [rule("get,list,delete", "secrets,configmaps"), rule("get", "widgets", ["example.com"], names=["w"])]
    with pytest.raises(StatusError) as refusal:
        await access.create_as(JANE, "roles", copied(READER, rules=rules), "default")
    assert (refusal.value.code, refusal.value.reason) == (403, "Forbidden")
    assert refusal.value.message == (
        'roles.rbac.authorization.k8s.io "reader" is forbidden: user "jane" (groups=["devs" "system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["list" "delete"]}\n'
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list" "delete"]}\n'
        '{APIGroups:["example.com"], Resources:["widgets"], ResourceNames:["w"], Verbs:["get"]}'
    )


async def test_paths_are_granted_by_those_who_have_them(access: Access) -> None:
    await allowed_to_write(access, {"verbs": ["get"], "nonResourceURLs": ["/metrics/*"]})
    for url, held in (("/metrics/a", True), ("/metrics/b/*", True), ("/metrics", False), ("*", False)):
        role = copied(READER, rules=[{"verbs": ["get"], "nonResourceURLs": [url]}])
        role["metadata"]["name"] = f"reads-{len(url)}"
        if held:
            await access.create_as(JANE, "clusterroles", role)
            continue
        with pytest.raises(StatusError) as refusal:
            await access.create_as(JANE, "clusterroles", role)
        assert refusal.value.message.endswith(f'{{NonResourceURLs:["{url}"], Verbs:["get"]}}')


@pytest.mark.parametrize(
    ("held", "granted", "covered"),
    [
        (rule("*", "*", ["*"]), rule("*", "*", ["*"]), True),
        (rule("get", "*", ["*"]), rule("get", "pods/log", ["x"]), True),
        (rule("get", "*/log"), rule("get", "pods/log"), True),
        (rule("get", "pods"), rule("get", "pods/log"), False),
        (rule("get", "pods", names=["a", "b"]), rule("get", "pods", names=["b"]), True),
        (rule("get", "pods", names=["a"]), rule("get", "pods"), False),
        (rule("get", "pods"), rule("get", "pods", names=["a"]), True),
        (rule("get,list", "pods"), rule("*", "pods"), False),
        (rule("get", "pods", ["a", "b"]), rule("get", "pods", ["*"]), False),
        (rule("get", "pods/log"), rule("get", "*/log"), False),
    ],
)
async def test_a_rule_is_covered_by_the_rules_of_its_author(
    access: Access, held: Object, granted: Object, covered: bool
) -> None:
    await allowed_to_write(access, held)
    role = copied(READER, rules=[granted])
    if covered:
        await access.create_as(JANE, "roles", role, "default")
    else:
        with pytest.raises(StatusError, match="not currently held"):
            await access.create_as(JANE, "roles", role, "default")


async def test_rights_in_one_namespace_grant_nothing_elsewhere(access: Access) -> None:
    await allowed_to_write(access, rule("get,list", "configmaps"), namespace="default")
    await access.create_as(JANE, "roles", copied(READER), "default")
    with pytest.raises(StatusError, match="not currently held"):
        await access.create_as(JANE, "roles", copied(READER), "kube-system")
    with pytest.raises(StatusError, match="not currently held"):
        await access.create_as(JANE, "clusterroles", copied(READER))


async def test_an_update_may_not_add_what_its_author_lacks(access: Access) -> None:
    await allowed_to_write(access, rule("get,list", "configmaps"))
    await access.create_as(JANE, "roles", copied(READER), "default")
    role = await access.client.get(access.client.type("roles", GROUP), "reader")
    with pytest.raises(StatusError, match="not currently held"):
        await access.update_as(JANE, "roles", {**role, "rules": [rule("*", "*", ["*"])]})
    await access.update_as(JANE, "roles", {**role, "rules": [rule("get", "configmaps")]})


async def test_garbage_collection_may_change_the_owners_of_any_role(access: Access) -> None:
    await allowed_to_write(access)
    await access.role("powerful", rule("*", "*", ["*"]))
    role = await access.client.get(access.client.type("roles", GROUP), "powerful")
    role["metadata"]["finalizers"] = ["example.com/keep"]
    await access.update_as(JANE, "roles", role)
    role = await access.client.get(access.client.type("roles", GROUP), "powerful")
    role["metadata"]["labels"] = {"a": "b"}
    with pytest.raises(StatusError, match="not currently held"):
        await access.update_as(JANE, "roles", role)


@pytest.mark.parametrize("names", [(), ("reader",)])
async def test_the_verb_escalate_lets_a_user_write_any_role(access: Access, names: tuple[str, ...]) -> None:
    await access.role("reader", rule("get", "configmaps"))
    await allowed_to_write(access, rule("escalate", "roles", [GROUP], names=names))
    role = await access.client.get(access.client.type("roles", GROUP), "reader")
    await access.update_as(JANE, "roles", {**role, "rules": [rule("*", "*", ["*"])]})
    with pytest.raises(StatusError, match="not currently held"):
        await access.create_as(JANE, "clusterroles", copied(READER))


async def test_an_aggregation_rule_needs_full_authority(access: Access) -> None:
    collecting = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    await allowed_to_write(access, rule("get,list,watch", "*", ["*"]))
    with pytest.raises(StatusError) as refusal:
        await access.create_as(JANE, "clusterroles", copied(READER, aggregationRule=collecting))
    assert refusal.value.message == (
        'clusterroles.rbac.authorization.k8s.io "reader" is forbidden: must have cluster-admin privileges to use the '
        "aggregationRule"
    )
    await access.bind("devs-rule", "ClusterRole/cluster-admin", group("devs"), namespace="")
    await access.create_as(JANE, "clusterroles", copied(READER, aggregationRule=collecting))


async def test_a_role_is_bound_by_those_who_have_its_rules(access: Access) -> None:
    await access.role("reader", rule("get,list", "configmaps"))
    await allowed_to_write(access, rule("get", "configmaps"))
    with pytest.raises(StatusError) as refusal:
        await access.create_as(JANE, "rolebindings", copied(BINDING), "default")
    assert refusal.value.message == (
        'rolebindings.rbac.authorization.k8s.io "joe-reads" is forbidden: user "jane" (groups=["devs" '
        '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n'
        '{APIGroups:[""], Resources:["configmaps"], Verbs:["list"]}'
    )
    await access.bind("devs-read", "Role/reader", group("devs"))
    await access.create_as(JANE, "rolebindings", copied(BINDING), "default")


async def test_a_cluster_role_binding_needs_the_rules_everywhere(access: Access) -> None:
    await access.bind("devs-rule-here", "ClusterRole/cluster-admin", group("devs"), namespace="default")
    reference = {**BINDING["roleRef"], "kind": "ClusterRole", "name": "cluster-admin"}
    await access.create_as(JANE, "rolebindings", copied(BINDING, roleRef=reference), "default")
    with pytest.raises(StatusError, match="not currently held"):
        await access.create_as(JANE, "clusterrolebindings", copied(BINDING, roleRef=reference))


async def test_the_verb_bind_lets_a_user_bind_a_role(access: Access) -> None:
    await access.role("reader", rule("get,list", "configmaps"))
    await access.role("writer", rule("update", "configmaps"))
    await allowed_to_write(access, rule("bind", "roles", [GROUP], names=["reader"]))
    await access.create_as(JANE, "rolebindings", copied(BINDING), "default")
    reference = {**BINDING["roleRef"], "name": "writer"}
    with pytest.raises(StatusError, match="not currently held"):
        await access.create_as(JANE, "rolebindings", copied(BINDING, roleRef=reference), "default")


async def test_a_role_that_does_not_exist_cannot_be_bound(access: Access) -> None:
    await allowed_to_write(access)
    with pytest.raises(StatusError) as refusal:
        await access.create_as(JANE, "rolebindings", copied(BINDING), "default")
    assert (refusal.value.code, refusal.value.message) == (
        404,
        'rolebindings.rbac.authorization.k8s.io "reader" not found',
    )


async def test_a_subject_cannot_be_added_to_a_powerful_binding(access: Access) -> None:
    await allowed_to_write(access)
    await access.bind("rulers", "ClusterRole/cluster-admin", user("root"))
    binding = await access.client.get(access.client.type("rolebindings", GROUP), "rulers")
    with pytest.raises(StatusError, match="not currently held"):
        await access.update_as(JANE, "rolebindings", {**binding, "subjects": [user("jane")]})


async def test_a_role_of_too_many_combinations_is_refused(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalation, "MAX_PERMISSIONS", 10)
    await allowed_to_write(access, rule("*", "configmaps"))
    many = rule(",".join(f"verb-{number}" for number in range(11)), "configmaps")
    with pytest.raises(StatusError, match="more than 10 combinations") as refusal:
        await access.create_as(JANE, "roles", copied(READER, rules=[many]), "default")
    assert refusal.value.code == 403
    await access.bind("devs-rule", "ClusterRole/jane", group("devs"))


async def test_a_message_shows_a_bounded_number_of_permissions(access: Access) -> None:
    await allowed_to_write(access)
    many = rule("get", ",".join(f"resource-{number:03}" for number in range(150)))
    with pytest.raises(StatusError) as refusal:
        await access.create_as(JANE, "roles", copied(READER, rules=[many]), "default")
    assert refusal.value.message.endswith('Resources:["resource-099"], Verbs:["get"]}\nand 50 more')


async def test_permissions_on_very_many_names_are_compared_with_as_many(access: Access) -> None:
    """The names that are held are searched one time only: once for each of them, this takes minutes."""
    many = [rule("get", "configmaps", names=[f"n-{number}"]) for number in range(20_000)]
    await access.role("many", *many, namespace="")
    await access.role("writers", rule("create", "clusterroles", [GROUP]), namespace="")
    for role in ("many", "writers"):
        await access.bind(f"jane-{role}", f"ClusterRole/{role}", user("jane"), namespace="")
    jane = authenticated("jane")
    await access.create_as(jane, "clusterroles", {"metadata": {"name": "granted"}, "rules": many[:10_000]})
    one_more = [*many[:10_000], rule("get", "configmaps", names=["other"])]
    with pytest.raises(StatusError, match=r'ResourceNames:\["other"\]'):
        await access.create_as(jane, "clusterroles", {"metadata": {"name": "more"}, "rules": one_more})
