"""Expressions of admission policies and match conditions are compiled in the write, and refused as in kube-apiserver."""

from typing import Any

import pytest

from kcp import cel
from kcp.builtin.rules.admission_expressions import (
    AuthorizationCheck,
    AuthorizationDecision,
    AuthorizerValue,
    ExpressionEnvironment,
)
from tests.builtin.conftest import Types
from tests.builtin.test_admission_registration import GROUP, policy, webhooks


def policy_errors(types: Types, **spec: Any) -> list[str]:
    return types.errors(types("validatingadmissionpolicies", GROUP), policy(**spec))


def validation(expression: str, **more: Any) -> list[dict[str, Any]]:
    return [{"expression": expression, **more}]


@pytest.mark.parametrize(
    "expression",
    [
        "object.spec.replicas <= 5 && oldObject == null",
        "request.operation in ['CREATE', 'UPDATE'] && request.namespace == 'x' && !request.dryRun",
        "request.userInfo.groups.exists(group, group.startsWith('system:')) && 'a' in request.userInfo.extra",
        "request.kind.kind == 'Secret' && request.resource.resource == 'secrets' && request.options.x == 1",
        "namespaceObject.metadata.labels['team'] == 'a' && namespaceObject.metadata.creationTimestamp < timestamp(0)",
        "authorizer.group('').resource('secrets').namespace('x').name('y').subresource('z').check('get').allowed()",
        "authorizer.requestResource.check('approve').allowed() && !authorizer.path('/healthz').check('get').errored()",
        "authorizer.serviceAccount('a', 'b').group('').resource('pods').labelSelector('a=b').check('list').reason() == ''",
    ],
)
def test_policies_may_use_their_declared_variables(types: Types, expression: str) -> None:
    assert policy_errors(types, validations=validation(expression)) == []


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("object.x[", "compilation failed: ERROR: <input>:1:10: Syntax error: mismatched input '<EOF>'"),
        ("nothing == 1", "compilation failed: ERROR: <input>:1:1: undeclared reference to 'nothing'"),
        ("params.limit > 1", "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params'"),
        ("request.user == ''", "compilation failed: ERROR: <input>:1:8: undefined field 'user'"),
        ("variables.x == 1", "compilation failed: ERROR: <input>:1:1: undeclared reference to 'variables'"),
        ("object.allowed", "must evaluate to bool"),
        ("'yes'", "must evaluate to bool"),
    ],
)
def test_a_policy_whose_expression_does_not_compile_is_refused(types: Types, expression: str, why: str) -> None:
    (error,) = policy_errors(types, validations=validation(expression))
    assert error.startswith(f'spec.validations[0].expression: Invalid value: "{expression}": {why}')


def test_params_are_declared_if_the_policy_has_a_param_kind(types: Types) -> None:
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    assert policy_errors(types, paramKind=kind, validations=validation("params.data.limit == '1'")) == []


def test_variables_have_the_types_of_their_expressions_and_see_those_before_them(types: Types) -> None:
    variables = [
        {"name": "most", "expression": "5"},
        {"name": "asked", "expression": "int(object.spec.replicas) - variables.most"},
        {"name": "who", "expression": "request.userInfo"},
    ]
    right = "variables.asked <= 0 && variables.who.username != 'x'"
    assert policy_errors(types, variables=variables, validations=validation(right)) == []
    (error,) = policy_errors(types, variables=variables, validations=validation("variables.most == 'five'"))
    assert "found no matching overload for '_==_' applied to '(int, string)'" in error
    (error,) = policy_errors(types, variables=[{"name": "x", "expression": "variables.later"}])
    assert error.startswith('spec.variables[0].expression: Invalid value: "variables.later": compilation failed: ')


def test_messages_are_strings_and_cannot_ask_the_authorizer(types: Types) -> None:
    errors = policy_errors(types, validations=validation("true", messageExpression="1"))
    assert errors == ['spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string']
    asking = "authorizer.path('/').check('get').reason()"
    (error,) = policy_errors(types, validations=validation("true", messageExpression=asking))
    assert "undeclared reference to 'authorizer'" in error


def test_audit_annotations_are_strings_or_null(types: Types) -> None:
    assert policy_errors(types, auditAnnotations=[{"key": "a", "valueExpression": "null"}]) == []
    errors = policy_errors(types, auditAnnotations=[{"key": "a", "valueExpression": "1"}])
    assert errors == [
        'spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type]'
    ]


@pytest.mark.parametrize("plural", ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"])
def test_match_conditions_compile(types: Types, plural: str) -> None:
    type_ = types(plural, GROUP)
    right = {"name": "a", "expression": "request.name != 'x' && authorizer.requestResource.check('y').allowed()"}
    assert types.errors(type_, webhooks(matchConditions=[right])) == []
    errors = types.errors(type_, webhooks(matchConditions=[{"name": "a", "expression": "1 + 1"}]))
    assert errors == ['webhooks[0].matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool']


def test_an_authorizer_gets_the_check_that_the_expression_builds() -> None:
    asked: list[AuthorizationCheck] = []

    def decide(question: AuthorizationCheck) -> AuthorizationDecision:
        asked.append(question)
        return AuthorizationDecision(question.verb == "get", "because", "")

    environment = ExpressionEnvironment()
    check = "authorizer.serviceAccount('team', 'ci').group('apps').resource('deployments').namespace('x').check('get')"
    program = environment.compile(f"{check}.allowed() && authorizer.requestResource.check('y').reason() == 'because'")
    values = {
        "authorizer": AuthorizerValue(decide),
        "authorizer.requestResource": AuthorizerValue(
            decide, AuthorizationCheck(resource="pods", name="p"), "ResourceCheck"
        ),
    }
    budget = cel.Budget()
    assert program.evaluate_variables(values, budget) is True
    assert asked == [
        AuthorizationCheck(verb="get", group="apps", resource="deployments", namespace="x", account=("team", "ci")),
        AuthorizationCheck(verb="y", resource="pods", name="p"),
    ]
