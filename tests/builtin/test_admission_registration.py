"""Webhook configurations and admission policies."""

from typing import Any

import pytest

from tests.builtin.conftest import Types

GROUP = "admissionregistration.k8s.io"
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


def webhooks(**changes: Any) -> dict[str, Any]:
    webhook = {
        "name": "a.hooks.example.com",
        "clientConfig": {"url": "https://hooks.example.com/a"},
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        **changes,
    }
    return {"webhooks": [{name: value for name, value in webhook.items() if value is not ...}]}


def policy(**changes: Any) -> dict[str, Any]:
    spec = {
        "matchConstraints": {"resourceRules": [RULE]},
        "validations": [{"expression": "object.metadata.name != 'x'"}],
        **changes,
    }
    return {"spec": {name: value for name, value in spec.items() if value is not ...}}


def test_missing_fields_are_defaulted(types: Types) -> None:
    created = types.create(types("mutatingwebhookconfigurations", GROUP), webhooks())
    (webhook,) = created["webhooks"]
    assert webhook["failurePolicy"] == "Fail"
    assert webhook["matchPolicy"] == "Equivalent"
    assert webhook["timeoutSeconds"] == 10
    assert webhook["reinvocationPolicy"] == "Never"
    assert webhook["namespaceSelector"] == webhook["objectSelector"] == {}
    assert webhook["rules"][0]["scope"] == "*"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        (
            {"name": "a.b"},
            'name: Invalid value: "a.b": should be a domain with at least three segments separated by dots',
        ),
        ({"clientConfig": {}}, "clientConfig: Required value: exactly one of url or service is required"),
        (
            {"clientConfig": {"url": "http://a.example.com"}},
            (
                "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: "
                "https://host[/path]"
            ),
        ),
        ({"sideEffects": ...}, "sideEffects: Required value: must specify one of None, NoneOnDryRun"),
        ({"sideEffects": "Some"}, 'sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"'),
        (
            {"timeoutSeconds": 31},
            "timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
        ),
        ({"failurePolicy": "Maybe"}, 'failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"'),
        ({"admissionReviewVersions": []}, "admissionReviewVersions: Required value: must specify one of v1, v1beta1"),
        (
            {"admissionReviewVersions": ["v2"]},
            'admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
        ),
        (
            {"rules": [{**RULE, "resources": ["configmaps", "*/*"]}]},
            'rules[0].resources: Invalid value: ["configmaps","*/*"]: if \'*/*\' is present, must not specify other resources',
        ),
        (
            {"rules": [{**RULE, "operations": ["GET"]}]},
            'rules[0].operations[0]: Unsupported value: "GET": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE"',
        ),
        ({"matchConditions": [{"name": "a", "expression": " "}]}, "matchConditions[0].expression: Required value"),
    ],
)
def test_invalid_webhooks_are_refused(types: Types, changes: dict[str, Any], error: str) -> None:
    for plural in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
        assert f"webhooks[0].{error}" in types.errors(types(plural, GROUP), webhooks(**changes))


def test_valid_webhooks_are_accepted(types: Types) -> None:
    service = {"namespace": "hooks", "name": "a", "path": "/a"}
    for client in ({"url": "https://hooks.example.com/a"}, {"service": service}):
        assert types.errors(types("validatingwebhookconfigurations", GROUP), webhooks(clientConfig=client)) == []


def test_clients_cannot_set_the_status_of_a_new_policy(types: Types) -> None:
    type_ = types("validatingadmissionpolicies", GROUP)
    assert types.errors(type_, policy()) == []
    assert types.create(type_, {**policy(), "status": {"observedGeneration": 3}})["status"] == {}


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({"matchConstraints": ...}, ["spec.matchConstraints: Required value"]),
        ({"matchConstraints": {}}, ["spec.matchConstraints.resourceRules: Required value"]),
        (
            {"validations": ...},
            [
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ],
        ),
        (
            {"validations": [{"expression": " "}]},
            ["spec.validations[0].expression: Required value: expression is not specified"],
        ),
        ({"validations": [{"expression": "true ||\nfalse"}]}, []),
        (
            {"validations": [{"expression": "true", "message": "one\rtwo", "messageExpression": " "}]},
            [
                'spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
                'spec.validations[0].message: Invalid value: "one\\rtwo": must not contain line breaks',
            ],
        ),
        (
            {"variables": [{"name": "a-b", "expression": "1"}, {"name": "loop", "expression": "1"}]},
            [
                'spec.variables[0].name: Invalid value: "a-b": must be a valid CEL identifier',
                'spec.variables[1].name: Invalid value: "loop": must be a valid CEL identifier',
            ],
        ),
        (
            {"auditAnnotations": [{"key": "a b", "valueExpression": "'" + "x" * 5120 + "'"}]},
            [
                (
                    'spec.auditAnnotations[0].key: Invalid value: "x/a b": name part must consist of alphanumeric characters, '
                    "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
                    "'123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
                ),
                "spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in length",
            ],
        ),
        (
            {"paramKind": {"apiVersion": "A_B/1", "kind": "K"}},
            [
                (
                    'spec.paramKind.apiVersion: Invalid value: "A_B": a lowercase RFC 1123 subdomain must consist of lower case '
                    "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. "
                    "'example.com', "
                    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                ),
                (
                    'spec.paramKind.apiVersion: Invalid value: "1": a DNS-1035 label must consist of lower case alphanumeric '
                    "characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
                    "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
                ),
            ],
        ),
        ({"paramKind": {"apiVersion": "v1"}}, ["spec.paramKind.kind: Required value"]),
        (
            {"failurePolicy": "Maybe"},
            ['spec.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"'],
        ),
    ],
)
def test_invalid_policies_are_refused(types: Types, changes: dict[str, Any], errors: list[str]) -> None:
    assert types.errors(types("validatingadmissionpolicies", GROUP), policy(**changes)) == errors


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"policyName": "a", "validationActions": ["Deny", "Audit"]}, []),
        (
            {},
            [
                "spec.policyName: Required value",
                "spec.validationActions: Required value: at least one validation action is required",
            ],
        ),
        (
            {"policyName": "a", "validationActions": ["Deny"], "paramRef": {"parameterNotFoundAction": "Deny"}},
            ["spec.paramRef: Required value: one of name or selector must be specified"],
        ),
        (
            {"policyName": "a", "validationActions": ["Deny"], "paramRef": {"name": "p"}},
            ["spec.paramRef.parameterNotFoundAction: Required value"],
        ),
    ],
)
def test_invalid_bindings_are_refused(types: Types, spec: dict[str, Any], errors: list[str]) -> None:
    assert types.errors(types("validatingadmissionpolicybindings", GROUP), {"spec": spec}) == errors


def test_a_binding_does_not_deny_and_warn(types: Types) -> None:
    spec = {"policyName": "a", "validationActions": ["Deny", "Warn"]}
    (error,) = types.errors(types("validatingadmissionpolicybindings", GROUP), {"spec": spec})
    assert "must not contain both Deny and Warn" in error


def test_a_missing_ca_bundle_equals_an_empty_one(types: Types) -> None:
    client = {"url": "https://hooks.example.com/a", "caBundle": ""}
    created = types.create(types("validatingwebhookconfigurations", GROUP), webhooks(clientConfig=client))
    assert created["webhooks"][0]["clientConfig"] == {"url": "https://hooks.example.com/a"}
