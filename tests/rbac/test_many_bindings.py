"""What users with very many bindings and roles may do, and what is kept of them: bounded, and decided in slices."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kcp.api.errors import StatusError
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision, decided
from kcp.auth.authorization.rbac import policies, role_cache
from kcp.auth.authorization.rbac.bindings import Binding, BindingIndex
from kcp.auth.authorization.rbac.default_policy import CLUSTER_ROLES, ROLE_BINDINGS
from kcp.auth.authorization.rbac.role_cache import NOT_STORED, RoleCache
from kcp.auth.authorization.rbac.roles import compile_rules
from kcp.auth.authorization.rbac.verdicts import VerdictOfGrants
from kcp.auth.users import authenticated
from kcp.logical_clusters import LogicalClusterName
from kcp.store.contract import Change, Key
from tests.rbac.conftest import GROUP, Access, rule, user

JANE = authenticated("jane")
JOE = authenticated("joe")
COUNT = 400
CLUSTER = LogicalClusterName("many")


def stored(name: str, **members: Any) -> bytes:
    return orjson.dumps({"metadata": {"resourceVersion": "", "name": name}, **members})


async def add_many(access: Access, names: int = 1) -> None:
    """Bind jane to many ClusterRoles, each of which allows to get widgets of some names."""
    changes = []
    for number in range(COUNT):
        name = f"role-{number}"
        rules = [rule("get", "widgets", names=[f"w-{number}-{each}" for each in range(names)])]
        reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
        changes.append(Change(Key(CLUSTER_ROLES, CLUSTER, "", name), stored(name, rules=rules)))
        binding = stored(name, roleRef=reference, subjects=[user("jane")])
        changes.append(Change(Key(ROLE_BINDINGS, CLUSTER, "default", name), binding))
    await access.client.registry.store.write(changes)


def asked(name: str, verb: str = "get") -> AuthorizationAttributes:
    return AuthorizationAttributes(CLUSTER, verb, resource="widgets", namespace="default", name=name)


@pytest.fixture
def many(access: Access) -> Access:
    return Access(access.client, CLUSTER)


async def test_a_user_of_many_bindings_is_decided_in_slices_and_then_remembered(many: Access) -> None:
    await add_many(many)
    assert not (await decided(many.authorizer.decide(JOE, asked("w-0-0")))).allowed
    assert isinstance(many.authorizer.decide(JOE, asked("w-1-0", "list")), Decision), "joe has no bindings"
    pauses, pause = 0, many.policies.roles.pacer.pause

    async def counted() -> None:
        nonlocal pauses
        pauses += 1
        await pause()

    many.policies.roles.pacer.pause = counted  # type: ignore[method-assign]
    found = many.authorizer.decide(JANE, asked(f"w-{COUNT - 1}-0"))
    assert not isinstance(found, Decision)
    assert (await decided(found)).allowed
    assert pauses >= COUNT, "other tasks may run after each role"
    again = many.authorizer.decide(JANE, asked("w-0-0"))
    assert isinstance(again, Decision)
    assert again.allowed
    assert not (await decided(many.authorizer.decide(JANE, asked("w-0-1")))).allowed


async def test_many_roles_of_many_names_are_decided_by_name_and_not_kept(many: Access) -> None:
    await add_many(many, names=40)
    for name, allowed in (("w-0-0", True), (f"w-{COUNT - 1}-39", True), ("w-0-40", False), ("", False)):
        found = many.authorizer.decide(JANE, asked(name))
        assert not isinstance(found, Decision)
        assert (await decided(found)).allowed is allowed
    assert not many.authorizer._verdicts
    await many.unbind(f"role-{COUNT - 1}")
    assert not (await decided(many.authorizer.decide(JANE, asked(f"w-{COUNT - 1}-39")))).allowed


async def test_compiled_roles_are_bounded_in_all_logical_clusters_together(
    access: Access, many: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_cache, "MAX_BYTES", 5000)
    await add_many(many)
    for _ in range(2):
        assert (await decided(many.authorizer.decide(JANE, asked("w-0-0")))).allowed
        assert (await decided(many.authorizer.decide(JANE, asked(f"w-{COUNT - 1}-0")))).allowed
        assert not await many.allows(JANE, "delete", "widgets")
        assert many.policies.roles.cache.size <= 5000


async def test_a_changed_role_is_read_again_also_where_its_bindings_are_not_kept(many: Access) -> None:
    await add_many(many)
    assert (await decided(many.authorizer.decide(JANE, asked("w-7-0")))).allowed
    many.policies._drop(CLUSTER)
    emptied = Change(Key(CLUSTER_ROLES, CLUSTER, "", "role-7"), stored("role-7", rules=[]))
    await many.client.registry.store.write([emptied])
    assert not (await decided(many.authorizer.decide(JANE, asked("w-7-0")))).allowed


async def test_rules_beyond_what_can_be_listed_are_incomplete_and_cannot_be_granted(
    many: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_many(many)
    binder = [rule("create", "roles", (GROUP,))]
    await many.role("binder", *binder)
    await many.bind("binds", "Role/binder", user("jane"))
    granted = {"metadata": {"name": "granted"}, "rules": [rule("get", "widgets", names=[f"w-{COUNT - 1}-0"])]}
    rules = await many.rules(JANE)
    assert (len([each for each in rules.resources if each.names]), rules.incomplete, rules.problem) == (
        COUNT,
        False,
        "",
    )
    await many.create_as(JANE, "roles", granted, "default")
    monkeypatch.setattr(policies, "MAX_HELD_BYTES", 10_000)
    rules = await many.rules(JANE)
    assert rules.incomplete
    assert rules.problem == "the user has more rules than can be listed"
    with pytest.raises(StatusError, match="attempting to grant"):
        await many.create_as(JANE, "roles", {**granted, "metadata": {"name": "again"}}, "default")


async def test_a_reason_names_a_limited_number_of_missing_roles(many: Access) -> None:
    for number in range(150):
        await many.bind(f"b-{number}", f"Role/missing-{number}", user("jane"))
    reason = (await many.decide(JANE, "get", "widgets")).reason
    assert reason.startswith("RBAC: [role.rbac.authorization.k8s.io")
    assert reason.count("not found") == 100
    assert reason.endswith(", and more]")


def test_the_roles_used_last_are_kept() -> None:
    role = compile_rules([rule("get", "widgets")])
    size = role.size + role_cache._ENTRY
    cache = RoleCache(3 * size)
    keys = [(CLUSTER, "", name) for name in "abcd"]
    for key in keys[:3]:
        cache.put(key, role)
    assert cache.get(keys[0]) is role
    cache.put(keys[3], role)
    assert [cache.get(key) is role for key in keys] == [True, False, True, True]
    cache.put(keys[3], NOT_STORED)
    cache.forget(keys[0])
    cache.forget(keys[1])
    assert (len(cache), cache.size) == (2, size + role_cache._ENTRY)


def test_an_index_finds_few_and_many_bindings_alike() -> None:
    index = BindingIndex()
    made = [
        Binding("ns" if number % 2 else "", f"b-{number}", "ClusterRole", "r", [f"User u-{number % 3}"])
        for number in range(40)
    ]
    for count, binding in enumerate(made, start=1):
        index.put(binding)
        index.put(binding)
        assert index.size == count
        for namespace in ("ns", ""):
            of = [each for each in made[:count] if each.namespace == namespace]
            assert {each.name for found in index.of(namespace).values() for each in found} == {each.name for each in of}
            assert all(each.subjects == (subject,) for subject, found in index.of(namespace).items() for each in found)
    for binding in made:
        assert binding.identity in index
        index.remove(binding.identity)
        assert binding.identity not in index
    assert index.size == 0
    assert not index.of("ns")


def test_a_verdict_of_too_many_names_is_for_the_requested_one_only() -> None:
    binding = Binding("default", "b", "Role", "r", ["User jane"])
    collected = VerdictOfGrants(asked("n-3-63"))
    for number in range(200):
        role = compile_rules([rule("get", "widgets", names=[f"n-{number}-{each}" for each in range(60)])])
        assert not collected.add((binding, "User jane", role))
    assert collected.is_partial
    assert not collected.verdict().on("n-3-63").allowed
    assert collected.add((binding, "User jane", compile_rules([rule("get", "widgets", names=["n-3-63"])])))
    assert collected.verdict().on("n-3-63").allowed
