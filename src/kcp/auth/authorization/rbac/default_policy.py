"""The roles and bindings that every logical cluster has without storing them: those of Kubernetes.

``default_policy.yaml`` holds what kube-apiserver 1.36 creates at its start. It is read when a request first needs it: requests of
``system:masters`` never do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson

from kcp.api import packaged_yaml
from kcp.api.selectors import LabelSelector, selector_of
from kcp.auth.authorization.rbac.bindings import SERVICE_ACCOUNT, BindingIndex, Identity, read_binding
from kcp.auth.authorization.rbac.roles import CompiledRole, Rule, compile_rules, rules_of

Object = Mapping[str, Any]

GROUP: Final = "rbac.authorization.k8s.io"
API_VERSION: Final = f"{GROUP}/v1"
CLUSTER_ROLES: Final = f"clusterroles.{GROUP}"
CLUSTER_ROLE_BINDINGS: Final = f"clusterrolebindings.{GROUP}"
ROLES: Final = f"roles.{GROUP}"
ROLE_BINDINGS: Final = f"rolebindings.{GROUP}"
"""Where the objects of the four types are stored."""

_FILE: Final = Path(__file__).with_name("default_policy.yaml")
_LABELS: Final = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_ANNOTATIONS: Final = {"rbac.authorization.kubernetes.io/autoupdate": "true"}
_AGGREGATE_TO: Final = "rbac.authorization.k8s.io/aggregate-to-"


class DefaultPolicy:
    """The default objects, by namespace (empty for cluster-scoped ones) and name, in this order; and what they grant."""

    def __init__(self, declared: Mapping[str, Any]) -> None:
        cluster_roles = [_cluster_role(each) for each in declared["clusterRoles"]]
        self.cluster_roles = _by_key(_aggregated(cluster_roles))
        self.cluster_role_bindings = _by_key(
            _binding("ClusterRoleBinding", "ClusterRole", each) for each in declared["clusterRoleBindings"]
        )
        self.roles = _by_key(_role(each) for each in declared["roles"])
        self.role_bindings = _by_key(_binding("RoleBinding", "Role", each) for each in declared["roleBindings"])
        bindings = (*self.cluster_role_bindings.items(), *self.role_bindings.items())
        self.bindings = BindingIndex(read_binding(namespace, obj) for (namespace, _), obj in bindings)
        roles = (*self.cluster_roles.items(), *self.roles.items())
        self.compiled = {key: compile_rules(rules_of(role)) for key, role in roles}

    def role(self, key: Identity) -> CompiledRole | None:
        """Return the default role of a namespace (empty: a ClusterRole) and name."""
        return self.compiled.get(key)


@cache
def default_policy() -> DefaultPolicy:
    """Return the default roles and bindings. The caller changes nothing of them."""
    return DefaultPolicy(packaged_yaml.load(_FILE.read_bytes()))


def aggregation_selectors(role: Object) -> list[LabelSelector]:
    """Return the selectors of the ClusterRoles whose rules a role collects; none where it collects nothing."""
    rule = role.get("aggregationRule") or {}
    return [selector_of(selector) for selector in rule.get("clusterRoleSelectors") or ()]


class AggregatedRules:
    """The rules of the ClusterRoles that selectors choose, each once.

    As kube-controller-manager's clusterrole-aggregation-controller, for which roles are added in name order.
    """

    def __init__(self, name: str, selectors: Sequence[LabelSelector]) -> None:
        """``name`` is that of the role that collects the rules: its own are left out."""
        self._name = name
        self._found: list[tuple[LabelSelector, dict[bytes, Rule]]] = [(selector, {}) for selector in selectors]

    def add(self, role: Object) -> None:
        """Add the rules of a role, where a selector chooses it."""
        meta = role["metadata"]
        if meta["name"] == self._name:
            return
        for selector, rules in self._found:
            if selector.matches(meta.get("labels") or {}):
                rules.update((orjson.dumps(rule, option=orjson.OPT_SORT_KEYS), rule) for rule in rules_of(role))

    @property
    def rules(self) -> list[Rule]:
        """The rules, selector by selector."""
        found: dict[bytes, Rule] = {}
        for _, rules in self._found:
            for content, rule in rules.items():
                found.setdefault(content, rule)
        return list(found.values())


def _by_key(objects: Iterable[dict[str, Any]]) -> dict[Identity, dict[str, Any]]:
    found = {(obj["metadata"].get("namespace", ""), obj["metadata"]["name"]): obj for obj in objects}
    return dict(sorted(found.items()))


def _object(kind: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    meta = {"name": declared["name"], "labels": {**_LABELS, **declared.get("labels", {})}, "annotations": _ANNOTATIONS}
    if "namespace" in declared:
        meta["namespace"] = declared["namespace"]
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta}


def _role(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {**_object("Role", declared), "rules": declared["rules"]}


def _cluster_role(declared: Mapping[str, Any]) -> dict[str, Any]:
    role = _object("ClusterRole", declared)
    if "aggregates" in declared:
        labels = {f"{_AGGREGATE_TO}{declared['aggregates']}": "true"}
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": labels}]}
        return role
    return {**role, "rules": declared["rules"]}


def _aggregated(roles: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fill in the rules of the roles that collect them, also from roles that collect theirs."""
    found = {role["metadata"]["name"]: role for role in roles}
    found = dict(sorted(found.items()))
    collecting = {name: aggregation_selectors(role) for name, role in found.items() if "aggregationRule" in role}
    while True:
        before = {name: found[name].get("rules") for name in collecting}
        for name, selectors in collecting.items():
            collected = AggregatedRules(name, selectors)
            for role in found.values():
                collected.add(role)
            found[name] = {**found[name], "rules": collected.rules}
        if all(found[name]["rules"] == rules for name, rules in before.items()):
            return list(found.values())


def _binding(kind: str, role_kind: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    role = {
        "apiGroup": GROUP,
        "kind": declared.get("roleKind", role_kind),
        "name": declared.get("role", declared["name"]),
    }
    binding = {**_object(kind, declared), "roleRef": role}
    subjects = [_subject(each) for each in declared["subjects"]]
    return {**binding, "subjects": subjects} if subjects else binding


def _subject(declared: Mapping[str, str]) -> dict[str, str]:
    """A subject, declared as its kind and name; a service account as ``namespace/name``."""
    ((kind, name),) = declared.items()
    if kind == SERVICE_ACCOUNT:
        namespace, _, name = name.partition("/")
        return {"kind": kind, "name": name, "namespace": namespace}
    return {"apiGroup": GROUP, "kind": kind, "name": name}
