"""Roles and bindings."""

from typing import Any

import pytest

from tests.builtin.conftest import Types

GROUP = "rbac.authorization.k8s.io"
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"]}
BINDING = {"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "reader"}}


def test_names_may_be_anything_that_fits_into_a_path(types: Types) -> None:
    assert types.errors(types("clusterroles", GROUP), {"metadata": {"name": "system:Node_1"}, "rules": [RULE]}) == []
    assert types.errors(types("clusterroles", GROUP), {"metadata": {"name": "a/b"}, "rules": [RULE]}) == [
        "metadata.name: Invalid value: \"a/b\": may not contain '/'"
    ]


@pytest.mark.parametrize(
    ("rule", "errors"),
    [
        (
            {"verbs": []},
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
            ],
        ),
        (
            {"verbs": ["get"], "nonResourceURLs": ["/x"]},
            [
                'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs',
            ],
        ),
    ],
)
def test_incomplete_rules_are_refused(types: Types, rule: dict[str, Any], errors: list[str]) -> None:
    assert types.errors(types("roles", GROUP), {"rules": [rule]}) == errors


def test_a_rule_is_about_resources_or_other_paths(types: Types) -> None:
    found = types.errors(types("clusterroles", GROUP), {"rules": [{**RULE, "nonResourceURLs": ["/x"]}]})
    assert found == [
        'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs'
    ]


def test_a_role_whose_rules_are_null_has_none(types: Types) -> None:
    assert types.errors(types("roles", GROUP), {"rules": None}) == []


def test_an_aggregation_rule_needs_selectors(types: Types) -> None:
    found = types.errors(types("clusterroles", GROUP), {"aggregationRule": {"clusterRoleSelectors": []}})
    assert found == [
        (
            "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule "
            "is non-nil"
        )
    ]
    selector = {"matchExpressions": [{"key": "a", "operator": "In"}]}
    found = types.errors(types("clusterroles", GROUP), {"aggregationRule": {"clusterRoleSelectors": [selector]}})
    assert found == [
        (
            "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].values: Required value: must be specified when "
            "`operator` is 'In' or 'NotIn'"
        )
    ]


def test_groups_of_subjects_and_role_are_filled_in(types: Types) -> None:
    binding = {
        "roleRef": {"kind": "Role", "name": "reader"},
        "subjects": [{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "robot"}],
    }
    created = types.create(types("rolebindings", GROUP), binding)
    assert created["roleRef"]["apiGroup"] == GROUP
    assert created["subjects"][0]["apiGroup"] == GROUP
    assert "apiGroup" not in created["subjects"][1]


def test_the_role_reference_is_immutable(types: Types) -> None:
    other = {"roleRef": {**BINDING["roleRef"], "name": "writer"}}
    (error,) = types.update_errors(types("rolebindings", GROUP), other, {"roleRef": dict(BINDING["roleRef"])})
    assert error.startswith("roleRef: Invalid value: {")
    assert error.endswith("}: cannot change roleRef")


def test_a_cluster_wide_binding_grants_a_cluster_role(types: Types) -> None:
    found = types.errors(types("clusterrolebindings", GROUP), {"roleRef": dict(BINDING["roleRef"])})
    assert found == ['roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"']


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        (
            {"kind": "Robot", "name": "x"},
            'kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
        ),
        ({"kind": "ServiceAccount", "name": "x"}, "namespace: Required value"),
        (
            {"kind": "User", "name": "x", "apiGroup": "other"},
            f'apiGroup: Unsupported value: "other": supported values: "{GROUP}"',
        ),
    ],
)
def test_subjects_are_known_and_complete(types: Types, subject: dict[str, Any], error: str) -> None:
    role = {"apiGroup": GROUP, "kind": "ClusterRole", "name": "reader"}
    found = types.errors(types("clusterrolebindings", GROUP), {"roleRef": role, "subjects": [subject]})
    assert found == [f"subjects[0].{error}"]


def test_a_row_names_the_role_and_the_grantees(types: Types) -> None:
    subjects = [
        {"kind": "User", "name": "jane"},
        {"kind": "Group", "name": "devs"},
        {"kind": "ServiceAccount", "name": "robot", "namespace": "team"},
    ]
    obj = types.create(types("rolebindings", GROUP), {"roleRef": dict(BINDING["roleRef"]), "subjects": subjects})
    assert types("rolebindings", GROUP).strategy.cells(obj) == ["Role/reader", "0s", "jane", "devs", "team/robot"]


@pytest.mark.parametrize("kind", [None, 1, [], {}, [None]])
def test_a_subject_may_be_of_any_shape_before_it_is_refused(types: Types, kind: Any) -> None:
    binding = {"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "x"}, "subjects": [{"kind": kind, "name": "a"}]}
    assert types.errors(types("rolebindings", GROUP), binding)
