"""kubectl's commands about who may do what: roles and bindings, ``auth can-i``, ``auth whoami``, ``auth reconcile``."""

from __future__ import annotations

import pytest
import yaml

from tests.support.kubectl import Kubectl

JANE = ("--as", "jane", "--as-group", "system:authenticated")


@pytest.fixture
def granted(current_kubectl: Kubectl) -> Kubectl:
    """A kubectl of an administrator, who has let jane read ConfigMaps in the namespace ``team``."""
    kubectl = current_kubectl
    kubectl("create", "namespace", "team")
    kubectl("create", "role", "reader", "--verb=get,list,watch", "--resource=configmaps", "-n", "team")
    kubectl("create", "rolebinding", "jane-reads", "--role=reader", "--user=jane", "-n", "team")
    return kubectl


def test_roles_and_bindings_are_created_and_shown(granted: Kubectl) -> None:
    granted("create", "clusterrole", "watcher", "--verb=get,watch", "--resource=secrets", "--resource-name=a")
    granted("create", "clusterrole", "probe", "--verb=get", "--non-resource-url=/readyz/*")
    granted("create", "clusterrolebinding", "devs-watch", "--clusterrole=watcher", "--group=devs")
    granted("create", "rolebinding", "robot-watches", "--clusterrole=view", "--serviceaccount=team:robot", "-n", "team")
    assert "robot-watches   ClusterRole/view" in granted("get", "rolebindings", "-n", "team")
    assert "team/robot" in granted("get", "rolebindings", "-n", "team", "-o", "wide")
    described = granted("describe", "clusterrole", "watcher")
    assert "secrets    []                 [a]             [get watch]" in described
    assert "Group  devs" in granted("describe", "clusterrolebinding", "devs-watch")


def test_the_default_roles_look_familiar(current_kubectl: Kubectl) -> None:
    names = current_kubectl("get", "clusterroles", "-o", "name").split()
    assert {
        f"clusterrole.rbac.authorization.k8s.io/{name}" for name in ("admin", "edit", "view", "cluster-admin")
    } < set(names)
    bindings = current_kubectl("get", "clusterrolebindings")
    assert "ClusterRole/system:discovery" in bindings
    assert "pods" in current_kubectl("describe", "clusterrole", "edit")


def test_a_default_role_is_deleted_without_waiting_for_ever(current_kubectl: Kubectl) -> None:
    current_kubectl("label", "clusterrole", "view", "mine=1")
    assert '"view" deleted' in current_kubectl("delete", "clusterrole", "view")
    assert '"edit" deleted' in current_kubectl("delete", "clusterrole", "edit")
    assert "mine" not in current_kubectl("get", "clusterrole", "view", "--show-labels")


def test_can_i(granted: Kubectl) -> None:
    assert granted("auth", "can-i", "delete", "namespaces", "--quiet") == ""
    assert granted("auth", "can-i", "list", "configmaps", "-n", "team", *JANE) == "yes\n"
    for asked in (
        ("create", "configmaps", "-n", "team"),
        ("list", "configmaps", "-n", "default"),
        ("list", "configmaps", "--all-namespaces"),
        ("get", "configmaps", "--subresource=status", "-n", "team"),
        ("get", "/metrics"),
    ):
        assert granted.run("auth", "can-i", *asked, *JANE).stdout.startswith("no")
    assert granted("auth", "can-i", "get", "/healthz", *JANE) == "yes\n"
    assert granted.run("get", "configmaps", "-n", "team", *JANE).returncode == 0
    refused = granted.fails("get", "configmaps", *JANE)
    assert refused == (
        'Error from server (Forbidden): configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group "" '
        'in the namespace "default"\n'
    )


def test_can_i_lists_all_rules(granted: Kubectl) -> None:
    listed = granted("auth", "can-i", "--list", "-n", "team", *JANE)
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in listed.splitlines()}
    assert rows["configmaps"] == "[] [] [get list watch]"
    assert rows["selfsubjectaccessreviews.authorization.k8s.io"] == "[] [] [create]"
    assert "[/healthz]" in listed.split()
    assert "secrets" not in listed
    assert "configmaps" not in granted("auth", "can-i", "--list", "-n", "default", *JANE)
    done = granted.run("auth", "can-i", "--list", "-n", "team", *JANE)
    assert done.stderr == "", "the list is complete: no warning"
    assert "*.*" in granted("auth", "can-i", "--list")


def test_groups_give_rights(granted: Kubectl) -> None:
    granted("create", "clusterrolebinding", "devs-edit", "--clusterrole=edit", "--group=devs")
    asked = ("auth", "can-i", "create", "secrets", "-n", "team", "--as", "joe")
    assert granted.run(*asked).stdout == "no\n"
    assert granted(*asked, "--as-group", "devs") == "yes\n"


def test_who_am_i(granted: Kubectl) -> None:
    assert "system:masters" in granted("auth", "whoami")
    shown = yaml.safe_load(
        granted("auth", "whoami", "-o", "yaml", "--as", "jane", "--as-group", "devs", "--as-uid", "7")
    )
    assert shown["status"]["userInfo"] == {
        "username": "jane",
        "uid": "7",
        "groups": ["devs", "system:authenticated"],
    }


def test_reconcile_adds_what_is_missing(granted: Kubectl) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "reader", "namespace": "team"},
                "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "jane-reads", "namespace": "team"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "joe"}],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "view"},
                "rules": [{"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}],
            },
        ],
    }
    shown = granted("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump(manifest))
    assert "role.rbac.authorization.k8s.io/reader reconciled" in shown
    for name in ("jane", "joe"):
        for resource in ("configmaps", "secrets"):
            assert granted("auth", "can-i", "get", resource, "-n", "team", "--as", name) == "yes\n"
    again = granted("auth", "reconcile", "-f", "-", stdin=yaml.safe_dump(manifest))
    assert again.count("reconciled") == shown.count("reconciled")


def test_nobody_grants_what_they_do_not_have(granted: Kubectl) -> None:
    granted("create", "clusterrolebinding", "jane-administers", "--clusterrole=admin", "--user=jane")
    granted("create", "rolebinding", "joe-views", "--clusterrole=view", "--user=joe", "-n", "team", *JANE)
    refused = granted.fails(
        "create", "rolebinding", "joe-rules", "--clusterrole=cluster-admin", "--user=joe", "-n", "team", *JANE
    )
    assert 'user "jane" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not' in refused
    assert '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}' in refused
