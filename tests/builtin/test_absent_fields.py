"""An absent field is Go's zero value: only the validation of the type decides whether it may be absent."""

from typing import Any

import pytest

from kcp.auth.users import User
from kcp.logical_clusters import DEFAULT
from kcp.registry.contexts import RequestContext
from tests.builtin.conftest import Object, Types

RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
AUTHORIZATION = "authorization.k8s.io"


def status_of(types: Types, plural: str, group: str, status: Object) -> Object:
    """A status that a client sends, as it is stored; the schema accepts it."""
    type_ = types(plural, group)
    obj: Object = {"apiVersion": type_.api_version, "kind": type_.kind, "metadata": {"name": "x"}, "spec": {}}
    if plural == "customresourcedefinitions":
        names = {"plural": "as", "kind": "A"}
        obj["spec"] = {"group": "example.com", "scope": "Cluster", "names": names, "versions": []}
    obj["status"] = status
    type_.schema.prune(obj)
    type_.schema.default(obj)
    type_.strategy.default(obj)
    assert type_.schema.validate(obj) == []
    stored: Object = obj["status"]
    return stored


@pytest.mark.parametrize(
    ("plural", "group"),
    [
        ("customresourcedefinitions", "apiextensions.k8s.io"),
        ("namespaces", ""),
        ("apiservices", "apiregistration.k8s.io"),
    ],
)
def test_a_condition_may_have_only_a_message(types: Types, plural: str, group: str) -> None:
    status = status_of(types, plural, group, {"conditions": [{"message": "hello"}]})
    assert status["conditions"] == [{"message": "hello", "type": "", "status": ""}]


@pytest.mark.parametrize(
    ("plural", "group", "obj", "errors"),
    [
        ("limitranges", "", {"spec": {}}, []),
        (
            "rolebindings",
            RBAC,
            {},
            [
                'roleRef.kind: Unsupported value: "": supported values: "Role", "ClusterRole"',
                "roleRef.name: Required value",
            ],
        ),
        ("roles", RBAC, {"rules": [{"nonResourceURLs": []}]}, None),
        (
            "validatingwebhookconfigurations",
            ADMISSION,
            {"webhooks": [{"sideEffects": "None"}]},
            [
                "webhooks[0].name: Required value",
                "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
                "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
    ],
)
def test_each_error_is_reported_once(
    types: Types, plural: str, group: str, obj: Object, errors: list[str] | None
) -> None:
    found = types.errors(types(plural, group), obj)
    if errors is not None:
        assert sorted(found) == sorted(errors)
    paths = [error.partition(": ")[0] for error in found]
    assert len(paths) == len(set(paths))


def test_an_event_of_the_older_form_may_be_changed_through_the_newer_group(types: Types) -> None:
    events = types("events", "events.k8s.io")
    old: dict[str, Any] = {"metadata": {"name": "x"}, "deprecatedCount": 1, "regarding": {"namespace": "team"}}
    assert types.update_errors(events, {**old, "metadata": {"name": "x", "labels": {"a": "b"}}}, old) == []


@pytest.mark.parametrize("plural", ["subjectaccessreviews", "selfsubjectaccessreviews"])
async def test_a_review_is_answered_whatever_status_a_client_sends(types: Types, plural: str) -> None:
    review = types(plural, AUTHORIZATION)
    spec = {"user": "a", "nonResourceAttributes": {"path": "/healthz", "verb": "get"}}
    obj = types.create(review, {"spec": spec, "status": {}})
    assert review.schema.validate(obj) == []
    answer = await review.strategy.answer({**obj, "metadata": {}}, RequestContext(User("a"), DEFAULT))
    assert answer is not None
    assert answer["status"]["allowed"] in {True, False}
