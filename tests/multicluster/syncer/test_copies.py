"""What a copy has of its source, what comes up from it, and when the two agree. Pure functions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.api.kinds import GroupResource
from kcp.api.object_fields import fields_at, strings_at
from kcp.client import APIResource
from kcp.multicluster.placement import LOCATOR_ANNOTATION, MARK_LABEL
from kcp.multicluster.syncer.comparisons import contains, content_digest, digest
from kcp.multicluster.syncer.kinds import kinds
from kcp.multicluster.syncer.ownership import Identity
from kcp.multicluster.syncer.statuses import Problem, status_for_source, with_problem, without_problem_time
from kcp.multicluster.syncer.transforms import applied_digest, copy_of, field_annotations, is_internal

IDENTITY = Identity("root", "lc-1", "east", "cluster-1")
DEPLOYMENTS = APIResource("apps", "v1", "deployments", "Deployment")
JOBS = APIResource("batch", "v1", "jobs", "Job")
ACCOUNTS = APIResource("", "v1", "serviceaccounts", "ServiceAccount")
RULES = kinds().of(GroupResource("apps", "deployments"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
SOURCE: dict[str, Any] = {
    "kind": "Deployment",
    "metadata": {
        "name": "web",
        "namespace": "shop",
        "uid": "u-1",
        "resourceVersion": "7",
        "generation": 4,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["workload.kcp.io/syncer-east", "example.com/mine"],
        "ownerReferences": [{"kind": "Deployment", "name": "root", "uid": "u-0"}],
        "managedFields": [{"manager": "kubectl"}],
        "labels": {"app": "web", "kcp.io/cluster": "east", "syncer.workload.kcp.io/east": ""},
        "annotations": {
            "note": "mine",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "cluster.workload.kcp.io/clusterIP": "10.0.0.1",
        },
    },
    "spec": {"replicas": 2},
    "status": {"replicas": 2},
}


def test_a_copy_has_the_content_of_its_source_and_the_mark_and_locator() -> None:
    copy = copy_of(SOURCE, IDENTITY, RULES, DEPLOYMENTS)
    meta = copy.pop("metadata")
    assert copy == {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2}}
    assert meta.pop("annotations") == {
        "note": "mine",
        LOCATOR_ANNOTATION: IDENTITY.locator("shop", "web", "u-1").encode(),
        "workload.kcp.io/generation": "4",
        "workload.kcp.io/digest": applied_digest(copy_of(SOURCE, IDENTITY, RULES, DEPLOYMENTS)),
    }
    assert meta == {
        "name": "web",
        "namespace": IDENTITY.namespace("shop"),
        "labels": {"app": "web", MARK_LABEL: "cluster-1"},
    }


def test_the_source_is_not_changed_by_its_copy() -> None:
    rules = kinds().of(GroupResource("", "serviceaccounts"))
    source = {"metadata": {"name": "default", "namespace": "shop", "uid": "u"}, "secrets": [{"name": "default-token"}]}
    copy = copy_of(source, IDENTITY, rules, ACCOUNTS)
    assert copy["metadata"]["name"] == "kcp-default"
    assert "secrets" not in copy
    assert source["secrets"] == [{"name": "default-token"}]


def test_a_copy_of_a_job_is_not_deleted_when_it_has_ended() -> None:
    """It would be made, and run, again."""
    rules = kinds().of(GroupResource("batch", "jobs"))
    meta = {"name": "sum", "namespace": "shop", "uid": "u"}
    source = {"metadata": meta, "spec": {"completions": 2, "ttlSecondsAfterFinished": 60}}
    assert copy_of(source, IDENTITY, rules, JOBS)["spec"] == {"completions": 2}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"status": {"replicas": 9}}, False),
        ({"spec": {"replicas": 3}}, True),
        ({"metadata": {**SOURCE["metadata"], "resourceVersion": "8", "finalizers": []}}, False),
        ({"metadata": {**SOURCE["metadata"], "labels": {"app": "other"}}}, True),
        ({"metadata": {**SOURCE["metadata"], "uid": "u-2"}}, True),
    ],
)
def test_the_digest_differs_with_what_is_copied(change: dict[str, Any], differs: bool) -> None:
    before, after = (copy_of(each, IDENTITY, RULES, DEPLOYMENTS) for each in (SOURCE, {**SOURCE, **change}))
    assert (applied_digest(before) != applied_digest(after)) == differs


@pytest.mark.parametrize(
    ("key", "internal"),
    [("kcp.io/cluster", True), ("a.b.kcp.io/x", True), ("kcp.io", False), ("notkcp.io/x", False), ("app", False)],
)
def test_labels_of_kcp_are_internal(key: str, internal: bool) -> None:
    assert is_internal(key) == internal


@given(JSON)
def test_every_value_contains_itself_and_has_one_digest(value: Any) -> None:
    assert contains(value, value)
    assert digest(value) == digest(value)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4), st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_more_fields_are_no_difference(wanted: dict[str, Any], more: dict[str, Any]) -> None:
    assert contains({**more, **wanted}, wanted)


@pytest.mark.parametrize(
    ("live", "wanted", "expected"),
    [
        ({"a": 1}, {"a": 2}, False),
        ({}, {"a": 1}, False),
        ({}, {"a": {}, "b": [], "c": None, "d": "", "e": False}, True),
        ({"a": [{"name": "x", "extra": 1}]}, {"a": [{"name": "x"}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": 1}, {"a": {"b": 1}}, False),
        ({"a": "1"}, {"a": [1]}, False),
    ],
)
def test_a_live_object_that_lacks_something_differs(live: Any, wanted: Any, expected: bool) -> None:
    assert contains(live, wanted) == expected


def test_content_is_what_can_be_applied() -> None:
    changed = {**SOURCE, "status": {}, "metadata": {**SOURCE["metadata"], "resourceVersion": "9", "generation": 5}}
    assert content_digest(changed) == content_digest(SOURCE)
    assert content_digest({**SOURCE, "spec": {"replicas": 3}}) != content_digest(SOURCE)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("spec.ports[].nodePort", [1, 2]),
        ("spec.clusterIP", ["10.0.0.1"]),
        ("spec.absent", []),
        ("spec[].clusterIP", []),
        ("spec.ports.nodePort", []),
    ],
)
def test_a_path_visits_the_items_of_lists(path: str, found: list[Any]) -> None:
    document = {"spec": {"clusterIP": "10.0.0.1", "ports": [{"nodePort": 1}, {}, 7, {"nodePort": 2}]}}
    assert [field.value for field in fields_at(document, path)] == found


@given(JSON, st.sampled_from(["a.b", "a[].b", "spec.template.spec.volumes[].configMap.name"]))
def test_no_document_breaks_a_path(document: Any, path: str) -> None:
    assert all(isinstance(text, str) for text in strings_at(document, path))


def test_what_the_cluster_decided_is_shown_as_text() -> None:
    rules = kinds().of(GroupResource("", "services"))
    live = {"spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}], "healthCheckNodePort": 0}}
    assert field_annotations(live, rules) == {
        "cluster.workload.kcp.io/clusterIP": "None",
        "cluster.workload.kcp.io/clusterIPs": '["None"]',
        "cluster.workload.kcp.io/healthCheckNodePort": "0",
    }


def copy_with(generation: int, shown: str | None, **status: Any) -> dict[str, Any]:
    annotations = {} if shown is None else {"workload.kcp.io/generation": shown}
    return {"metadata": {"generation": generation, "annotations": annotations}, "status": status}


@pytest.mark.parametrize(
    ("observed", "expected"),
    [(3, 7), (4, 7), (2, 2), (1, 1)],
    ids=["present", "newer", "earlier", "first"],
)
def test_an_observed_generation_is_one_of_the_source(observed: int, expected: int) -> None:
    live = copy_with(3, "7", observedGeneration=observed, conditions=[{"type": "A", "observedGeneration": observed}])
    status = status_for_source(live, {}, None)
    assert status["observedGeneration"] == status["conditions"][0]["observedGeneration"] == expected


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
def test_an_old_status_never_looks_current(generation: int, shown: int, observed: int) -> None:
    status = status_for_source(copy_with(generation, str(shown), observedGeneration=observed), {}, None)
    assert (status["observedGeneration"] >= shown) == (observed >= generation)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_an_observed_generation_does_not_go_back_while_a_change_is_under_way(
    generation: int, shown: int, observed: int, before: int
) -> None:
    present = {"observedGeneration": before, "conditions": [{"type": "A", "observedGeneration": before}]}
    live = copy_with(
        generation, str(shown), observedGeneration=observed, conditions=[{"type": "A", "observedGeneration": observed}]
    )
    status = status_for_source(live, present, None)
    assert status["observedGeneration"] == (shown if observed >= generation else min(before, shown - 1))
    assert status["conditions"][0]["observedGeneration"] == status["observedGeneration"]


@pytest.mark.parametrize("shown", [None, "", "x", "-1", "٣"])
def test_a_copy_without_a_generation_keeps_its_numbers(shown: str | None) -> None:
    assert status_for_source(copy_with(3, shown, observedGeneration=3), {}, None) == {"observedGeneration": 3}


def test_a_problem_is_a_condition_until_it_is_solved() -> None:
    problem = Problem("Invalid", "no")
    before = with_problem({"replicas": 1}, {}, problem)
    (condition,) = before["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Synced", "False", "Invalid")
    other = {**before, "conditions": [{**condition, "lastTransitionTime": "2020-01-01T00:00:00Z"}]}
    again = with_problem({"replicas": 2, "conditions": [{"type": "A"}]}, other, Problem("Forbidden", "quota"))
    assert again["conditions"][0] == {"type": "A"}
    assert again["conditions"][1]["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    later = {**again, "conditions": [{"type": "A"}, {**again["conditions"][1], "lastTransitionTime": "x"}]}
    assert without_problem_time(again) == without_problem_time(later)
    assert with_problem(before, before, None) == {"replicas": 1}
    assert with_problem({"conditions": []}, before, None) == {"conditions": []}
