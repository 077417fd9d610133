"""``--authorization-config``: what a file may say, in kube-apiserver's words; and the flags beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.auth.authorization.webhook.configuration import read
from kcp.schema.configuration_files import ConfigurationFileError
from kcp.server.process.authorization_options import AuthorizationOptions
from kcp.server.process.errors import ConfigurationError

RBAC = {"type": "RBAC", "name": "rbac"}


def content(*authorizers: dict[str, Any], **members: Any) -> bytes:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration"}
    return yaml.safe_dump({**head, "authorizers": list(authorizers), **members}).encode()


def webhook(path: Path, **more: Any) -> dict[str, Any]:
    """A webhook entry; a value of None leaves a field out."""
    fields = {
        "timeout": "3s",
        "subjectAccessReviewVersion": "v1",
        "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": str(path)},
        **more,
    }
    return {
        "type": "Webhook",
        "name": "w",
        "webhook": {name: value for name, value in fields.items() if value is not None},
    }


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "webhook.kubeconfig"
    path.write_text("")
    return path


def test_authorizers_are_read_in_order_with_the_defaults_of_kubernetes(kubeconfig: Path) -> None:
    conditions = [{"expression": "has(request.resourceAttributes)"}]
    entry = webhook(kubeconfig, matchConditions=conditions, matchConditionSubjectAccessReviewVersion="v1")
    found, rbac = read(content(entry, RBAC))
    assert (rbac.type, rbac.name, rbac.webhook) == ("RBAC", "rbac", None)
    assert found.webhook is not None
    assert found.webhook.options == ("w", "v1", 3.0, 300.0, 30.0, True)
    assert found.webhook.kubeconfig == kubeconfig


def test_lifetimes_of_answers(kubeconfig: Path) -> None:
    (kept,) = read(content(webhook(kubeconfig, authorizedTTL="1m30s", unauthorizedTTL="5s", failurePolicy="NoOpinion")))
    assert kept.webhook is not None
    assert kept.webhook.options[3:] == (90.0, 5.0, False)
    (unkept,) = read(content(webhook(kubeconfig, cacheAuthorizedRequests=False, cacheUnauthorizedRequests=False)))
    assert unkept.webhook is not None
    assert unkept.webhook.options[3:5] == (0.0, 0.0)


@pytest.mark.parametrize(
    ("authorizers", "problem"),
    [
        ([], "authorizers: Required value: at least one authorization mode must be defined"),
        ([RBAC, {**RBAC, "name": "b"}], 'authorizers[1].type: Duplicate value: "RBAC"'),
        ([{**RBAC, "name": ""}], "authorizers[0].name: Required value"),
        ([{**RBAC, "type": ""}], "authorizers[0].type: Required value"),
        (
            [{**RBAC, "type": "Node"}],
            (
                'authorizers[0].type: Unsupported value: "Node": supported values: "AlwaysAllow", "AlwaysDeny", "RBAC", '
                '"Webhook"'
            ),
        ),
        ([{**RBAC, "name": "A_b"}], 'authorizers[0].name: Invalid value: "A_b": authorizer name is invalid'),
        ([{"type": "Webhook", "name": "w"}], "authorizers[0].webhook: Required value: required when type=Webhook"),
        (
            [{**RBAC, "webhook": {}}],
            'authorizers[0].webhook: Invalid value: "non-null": may only be specified when type=Webhook',
        ),
        ([{**RBAC, "nope": 1}], 'strict decoding error: unknown field "authorizers[0].nope"'),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(authorizers: list[dict[str, Any]], problem: str) -> None:
    with pytest.raises(ConfigurationFileError) as refusal:
        read(content(*authorizers))
    assert str(refusal.value).startswith(problem)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"timeout": None}, "timeout: Required value"),
        ({"timeout": "31s"}, 'timeout: Invalid value: "31s": must be > 0s and <= 30s'),
        ({"timeout": "soon"}, 'timeout: Invalid value: "soon": must be > 0s and <= 30s'),
        ({"authorizedTTL": "-1s"}, 'authorizedTTL: Invalid value: "-1s": must be > 0s'),
        ({"subjectAccessReviewVersion": None}, "subjectAccessReviewVersion: Required value"),
        (
            {"subjectAccessReviewVersion": "v3"},
            'subjectAccessReviewVersion: Unsupported value: "v3": supported values: "v1", "v1beta1"',
        ),
        (
            {"failurePolicy": "Maybe"},
            'failurePolicy: Unsupported value: "Maybe": supported values: "NoOpinion", "Deny"',
        ),
        ({"connectionInfo": None}, "connectionInfo.type: Required value"),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "relative"}},
            'connectionInfo.kubeConfigFile: Invalid value: "relative": must be an absolute path',
        ),
        (
            {"connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": "/does/not/exist"}},
            'connectionInfo.kubeConfigFile: Invalid value: "/does/not/exist": must be a regular file',
        ),
        (
            {"matchConditions": [{"expression": "request.user == 'a'"}]},
            "matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified",
        ),
        (
            {"matchConditionSubjectAccessReviewVersion": "v1", "matchConditions": [{"expression": "request.user"}]},
            'matchConditions[0].expression: Invalid value: "request.user": must evaluate to bool but got string',
        ),
        (
            {"matchConditionSubjectAccessReviewVersion": "v1", "matchConditions": [{"expression": "request.nope"}]},
            'matchConditions[0].expression: Invalid value: "request.nope": compilation failed: ERROR: <input>:1:8: undefined',
        ),
    ],
)
def test_a_webhook_that_cannot_be_used_is_refused(kubeconfig: Path, changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationFileError) as refusal:
        read(content(webhook(kubeconfig, **changes)))
    assert str(refusal.value).startswith(f"authorizers[0].webhook.{problem}")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"mode": ()}, "at least one authorization-mode must be passed"),
        ({"mode": ("Node",)}, '"Node" is not one of AlwaysAllow, AlwaysDeny, RBAC, Webhook'),
        ({"mode": ("RBAC", "RBAC")}, "RBAC,RBAC has a mode more than once"),
        ({"mode": ("RBAC", "Webhook")}, "Webhook's authorization config file not passed"),
        ({"webhook_config_file": Path("x")}, "needs --authorization-mode Webhook"),
        ({"config": Path("x"), "mode": ("AlwaysAllow",)}, "--authorization-config excludes"),
        ({"webhook_version": "v2"}, '"v2" is not one of v1, v1beta1'),
    ],
)
def test_flags_that_contradict_each_other_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        AuthorizationOptions(**options).check()
    assert problem in str(refusal.value)
