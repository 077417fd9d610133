"""Which rule of a policy a request matches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.server.audit.policy_file import decode_policy
from tests.audit.audited_server import policy_text

ROOT = LogicalClusterName("root")
JANE = User("jane", groups=("devs", "system:authenticated"))


def resource(verb: str, plural: str, name: str = "", **more: Any) -> AuthorizationAttributes:
    return AuthorizationAttributes(ROOT, verb, resource=plural, name=name, version="v1", **more)


def path(text: str, verb: str = "get") -> AuthorizationAttributes:
    return AuthorizationAttributes(ROOT, verb, False, path=text)


GET_POD = resource("get", "pods", "a", namespace="default")
LOG_OF_POD = resource("get", "pods", "a", namespace="default", subresource="log")

CASES: list[tuple[dict[str, Any], AuthorizationAttributes, bool]] = [
    ({}, GET_POD, True),
    ({}, path("/version"), True),
    ({"users": ["jane"]}, GET_POD, True),
    ({"users": ["joe"]}, GET_POD, False),
    ({"userGroups": ["ops", "devs"]}, GET_POD, True),
    ({"userGroups": ["ops"]}, GET_POD, False),
    ({"users": ["jane"], "userGroups": ["ops"]}, GET_POD, False),
    ({"verbs": ["list", "get"]}, GET_POD, True),
    ({"verbs": ["list"]}, GET_POD, False),
    ({"namespaces": ["default"]}, GET_POD, True),
    ({"namespaces": ["other"]}, GET_POD, False),
    ({"namespaces": [""]}, resource("get", "nodes", "a"), True),
    ({"namespaces": ["default"]}, path("/version"), False),
    ({"resources": [{"group": ""}]}, GET_POD, True),
    ({"resources": [{"group": ""}]}, LOG_OF_POD, True),
    ({"resources": [{"group": "apps"}]}, GET_POD, False),
    ({"resources": [{"group": "apps"}, {}]}, GET_POD, True),
    ({"resources": [{"resources": ["pods"]}]}, GET_POD, True),
    ({"resources": [{"resources": ["pods"]}]}, LOG_OF_POD, False),
    ({"resources": [{"resources": ["pods/log"]}]}, LOG_OF_POD, True),
    ({"resources": [{"resources": ["pods/log"]}]}, GET_POD, False),
    ({"resources": [{"resources": ["pods/*"]}]}, LOG_OF_POD, True),
    ({"resources": [{"resources": ["pods/*"]}]}, GET_POD, True),
    ({"resources": [{"resources": ["*/log"]}]}, LOG_OF_POD, True),
    ({"resources": [{"resources": ["*/status"]}]}, LOG_OF_POD, False),
    ({"resources": [{"resources": ["*"]}]}, LOG_OF_POD, True),
    ({"resources": [{"resources": ["pods"], "resourceNames": ["a"]}]}, GET_POD, True),
    ({"resources": [{"resources": ["pods"], "resourceNames": ["b"]}]}, GET_POD, False),
    ({"resources": [{"resources": ["pods"]}]}, path("/version"), False),
    ({"nonResourceURLs": ["/version"]}, path("/version"), True),
    ({"nonResourceURLs": ["/openapi*"]}, path("/openapi/v2"), True),
    ({"nonResourceURLs": ["*"]}, path("/anything"), True),
    ({"nonResourceURLs": ["/openapi"]}, path("/openapi/v2"), False),
    ({"nonResourceURLs": ["*"]}, GET_POD, False),
]


@pytest.mark.parametrize(("rule", "attributes", "matches"), CASES)
def test_a_rule_matches_what_meets_all_its_conditions(
    rule: dict[str, Any], attributes: AuthorizationAttributes, matches: bool
) -> None:
    policy = decode_policy(policy_text({"rules": [{"level": "Metadata", **rule}]}).encode())
    assert (policy.recording_of(JANE, attributes) is not None) == matches


def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        {"level": "None", "verbs": ["get"], "resources": [{"resources": ["pods"]}]},
        {"level": "Request", "verbs": ["create"]},
        {"level": "Metadata"},
        {"level": "RequestResponse"},
    ]
    policy = decode_policy(policy_text({"rules": rules}).encode())
    assert policy.recording_of(JANE, GET_POD) is None
    created, deleted = (policy.recording_of(JANE, resource(verb, "pods")) for verb in ("create", "delete"))
    assert created is not None
    assert created.level == "Request"
    assert deleted is not None
    assert deleted.level == "Metadata"


def test_a_user_who_is_not_authenticated_matches_no_rule_about_users() -> None:
    about_users = [{"level": "Metadata", "users": ["jane"]}, {"level": "Metadata", "userGroups": ["devs"]}]
    policy = decode_policy(policy_text({"rules": about_users}).encode())
    assert policy.recording_of(None, GET_POD) is None


def test_stages_of_the_policy_and_of_the_rule_are_omitted_together() -> None:
    rules = [{"level": "Metadata", "omitStages": ["Panic"], "omitManagedFields": False}]
    text = policy_text({"rules": rules, "omitStages": ["RequestReceived"], "omitManagedFields": True})
    found = decode_policy(text.encode()).recording_of(JANE, GET_POD)
    assert found is not None
    assert found.omit_stages == {"Panic", "RequestReceived"}
    assert not found.omit_managed_fields, "the rule's own value wins"
    without = json.loads(text)
    del without["rules"][0]["omitManagedFields"]
    inherited = decode_policy(json.dumps(without).encode()).recording_of(JANE, GET_POD)
    assert inherited is not None
    assert inherited.omit_managed_fields
