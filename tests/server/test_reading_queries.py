"""Query strings and the options in them."""

from __future__ import annotations

import pytest

from kcp.api.errors import StatusError
from kcp.server.requests import queries
from kcp.server.requests.queries import Query


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", False),
        ("a", True),
        ("a=", True),
        ("a=true", True),
        ("a=1", True),
        ("a=yes", True),
        ("a=false", False),
        ("a=FALSE", False),
        ("a=0", False),
        ("a=false&a=true", False),
    ],
)
def test_a_boolean_is_read_as_kubernetes_reads_it(text: str, value: bool) -> None:
    assert Query(text.encode()).flag("a") is value


def test_a_missing_parameter_differs_from_a_false_one() -> None:
    assert Query(b"").optional_flag("a") is None
    assert Query(b"a=false").optional_flag("a") is False


@pytest.mark.parametrize("text", ["limit=x", "limit=1.5", "limit=99999999999999999999", "timeoutSeconds=ten&limit=1e3"])
def test_bad_numbers_are_refused(text: str) -> None:
    with pytest.raises(StatusError) as refusal:
        queries.list_options(Query(text.encode()))
    assert refusal.value.code == 400


def test_a_timeout_that_is_no_number_is_refused_in_a_list_too() -> None:
    with pytest.raises(StatusError) as refusal:
        queries.list_options(Query(b"timeoutSeconds=x"))
    assert refusal.value.code == 400


def test_a_negative_limit_is_no_limit() -> None:
    assert queries.list_options(Query(b"limit=-1")).limit == 0


def test_list_options() -> None:
    options = queries.list_options(
        Query(
            b"limit=5&continue=c&resourceVersion=7&resourceVersionMatch=Exact&labelSelector=a%3Db&fieldSelector=metadata.name%3Dx&allowWatchBookmarks=true&sendInitialEvents=false"
        )
    )
    assert (options.limit, options.continue_token, options.resource_version) == (5, "c", "7")
    assert (options.resource_version_match, options.allow_bookmarks, options.send_initial_events) == (
        "Exact",
        True,
        False,
    )
    assert options.label_selector is not None
    assert options.label_selector.matches({"a": "b"})
    assert options.field_selector is not None
    assert not options.field_selector.matches({"metadata.name": "y"})


@pytest.mark.parametrize("text", ["labelSelector=a%20in%20(", "fieldSelector=a", "labelSelector=%ff"])
def test_a_selector_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(StatusError) as refusal:
        queries.list_options(Query(text.encode()))
    assert refusal.value.code == 400


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(StatusError) as refusal:
        Query(b"&".join(b"a=1" for _ in range(1000)))
    assert refusal.value.code == 400


def test_dry_run_is_all_or_nothing() -> None:
    assert queries.dry_run(["All"], "CreateOptions")
    assert not queries.dry_run([], "CreateOptions")
    with pytest.raises(StatusError) as refusal:
        queries.dry_run(["Some"], "CreateOptions")
    assert (refusal.value.code, refusal.value.reason) == (422, "Invalid")


def test_field_validation_is_one_of_three_words() -> None:
    assert queries.field_validation(Query(b""), "PatchOptions") == "Warn"
    assert queries.field_validation(Query(b"fieldValidation=Strict"), "PatchOptions") == "Strict"
    with pytest.raises(StatusError) as refusal:
        queries.field_validation(Query(b"fieldValidation=strict"), "PatchOptions")
    assert refusal.value.code == 422


@pytest.mark.parametrize(
    ("text", "agent", "manager"),
    [
        ("fieldManager=me", "kubectl/v1.37", "me"),
        ("", "kubectl/v1.37.1 (linux/amd64)", "kubectl"),
        ("", "", "unknown"),
        ("", "a\tb/1", "ab"),
        ("", "x" * 200, "x" * 128),
    ],
)
def test_the_field_manager_is_named_or_taken_from_the_user_agent(text: str, agent: str, manager: str) -> None:
    assert (queries.field_manager(Query(text.encode()), "CreateOptions") or queries.manager_of(agent)) == manager


@pytest.mark.parametrize("text", ["fieldManager=" + "x" * 129, "fieldManager=a%00b"])
def test_a_field_manager_that_cannot_be_shown_is_refused(text: str) -> None:
    with pytest.raises(StatusError) as refusal:
        queries.field_manager(Query(text.encode()), "PatchOptions")
    assert refusal.value.code == 422


@pytest.mark.parametrize("values", [[""], ["None"], ["All", ""]])
def test_a_dry_run_is_of_all_stages(values: list[str]) -> None:
    assert queries.dry_run(["All"], "CreateOptions")
    assert not queries.dry_run([], "CreateOptions")
    with pytest.raises(StatusError) as refusal:
        queries.dry_run(values, "CreateOptions")
    assert refusal.value.code == 422


def test_delete_options_come_from_the_body_or_else_from_the_query() -> None:
    options, dry = queries.delete_options(Query(b"propagationPolicy=Orphan&dryRun=All&gracePeriodSeconds=3"), None)
    assert (options.propagation_policy, options.grace_period_seconds, dry) == ("Orphan", 3, True)
    body = {"kind": "DeleteOptions", "preconditions": {"uid": "u", "resourceVersion": "7"}, "orphanDependents": False}
    options, dry = queries.delete_options(Query(b"propagationPolicy=Orphan"), body)
    assert (options.propagation_policy, options.uid, options.resource_version) == (None, "u", "7")
    assert (options.orphan_dependents, dry) == (False, False)
    assert queries.delete_options(Query(b"propagationPolicy="), None)[0].propagation_policy == ""


@pytest.mark.parametrize(
    "body", [[], {"kind": "ConfigMap"}, {"gracePeriodSeconds": True}, {"preconditions": []}, {"propagationPolicy": 1}]
)
def test_other_bodies_are_refused(body: object) -> None:
    with pytest.raises(StatusError) as refusal:
        queries.delete_options(Query(b""), body)
    assert refusal.value.code == 400
