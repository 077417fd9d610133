"""Policy files that cannot be used: the start ends with one line that names the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kcp.server.audit.options import AuditOptionError, AuditOptions
from kcp.server.audit.policy_file import decode_policy
from kcp.server.process.errors import ConfigurationError
from tests.audit.audited_server import EVERYTHING, AuditedServer, audited, policy_text
from tests.support.kcp_process import run
from tests.support.running_server import RunningServer

RULES: list[tuple[dict[str, Any], str]] = [
    ({}, "rules[0].level: Required value"),
    ({"level": "All"}, 'rules[0].level: Unsupported value: "All": supported values: "Metadata", "None", "Request"'),
    ({"level": "None", "verb": ["get"]}, 'strict decoding error: unknown field "rules[0].verb"'),
    (
        {"level": "None", "verbs": "get"},
        'rules[0].verbs: Invalid value: "string": rules[0].verbs in body must be of type array',
    ),
    (
        {"level": "None", "users": [1]},
        'rules[0].users[0]: Invalid value: "integer"',
    ),
    (
        {"level": "None", "nonResourceURLs": ["version"]},
        "rules[0].nonResourceURLs[0]: Invalid value: \"version\": non-resource URL rules must begin with a '/' character",
    ),
    (
        {"level": "None", "nonResourceURLs": ["/a*b"]},
        "non-resource URL wildcards '*' must be the final character of the rule",
    ),
    (
        {"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["a"]},
        "rules cannot apply to both regular resources and non-resource URLs",
    ),
    (
        {"level": "None", "resources": [{"group": "rbac.authorization.k8s.io/v1"}]},
        'rules[0].resources[0].group: Invalid value: "rbac.authorization.k8s.io/v1"',
    ),
    (
        {"level": "None", "resources": [{"resourceNames": ["a"]}]},
        'rules[0].resources[0].resourceNames: Invalid value: ["a"]: using resourceNames requires at least one resource',
    ),
    (
        {"level": "None", "omitStages": ["Response"]},
        'rules[0].omitStages[0]: Invalid value: "Response": allowed stages are RequestReceived,ResponseStarted,',
    ),
]


@pytest.mark.parametrize(("rule", "message"), RULES)
def test_a_bad_rule_is_refused_with_its_field(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(AuditOptionError) as raised:
        decode_policy(policy_text({"rules": [rule]}).encode())
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must be an object of kind Policy"),
        ("[]", "must be an object of kind Policy"),
        (
            "kind: Policy\napiVersion: audit.k8s.io/v1beta1\nrules: []",
            "must have kind Policy and apiVersion audit.k8s.io/v1",
        ),
        ("kind: Policy\napiVersion: audit.k8s.io/v1", "rules: Required value: a policy needs at least one rule"),
        (
            "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: None}]\nrules: []",
            'duplicate field "rules"',
        ),
        ("kind: [", "YAML"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(content: str, message: str) -> None:
    with pytest.raises(AuditOptionError) as raised:
        decode_policy(content.encode())
    assert message.lower() in str(raised.value).lower()
    assert "\n" not in str(raised.value)


def test_all_errors_of_a_policy_are_named_in_one_line() -> None:
    with pytest.raises(AuditOptionError, match=r"\[rules\[0\]\.level: .*, rules\[1\]\.level: .*\]"):
        decode_policy(policy_text({"rules": [{"level": "a"}, {"level": "b"}]}).encode())


def test_a_server_does_not_start_with_a_broken_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text({"rules": [{"level": "Everything"}]}))
    done = run(
        "start",
        *("--root-directory", str(tmp_path / "root"), "--secure-port", "0"),
        *("--audit-policy-file", str(policy), "--audit-log-path", str(tmp_path / "audit.log")),
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"kcp: --audit-policy-file: {policy}: rules[0].level: Unsupported value")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log_path": Path("audit.log")}, "--audit-log-path needs --audit-policy-file"),
        ({"policy_file": Path("/nowhere/policy.yaml")}, "--audit-policy-file needs --audit-log-path"),
        (
            {"policy_file": Path("/nowhere/policy.yaml"), "log_path": Path("a")},
            "--audit-policy-file: cannot read /nowhere/policy.yaml: No such file or directory",
        ),
        ({"log_maxage": -1}, "--audit-log-maxage must not be negative"),
        ({"webhook_batch_max_size": 0}, "--audit-webhook-batch-max-size must be positive"),
        ({"log_mode": "sometimes"}, "--audit-log-mode must be one of batch, blocking, blocking-strict"),
    ],
)
def test_options_that_do_not_fit_together_end_the_start(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        RunningServer(tmp_path, audit=AuditOptions(**options))


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with audited(tmp_path, {"rules": [{"level": "Metadata", "nonResourceURLs": ["/version"]}]}) as running:
        yield running


def test_a_changed_policy_is_in_force_without_a_restart(server: AuditedServer) -> None:
    ask, reload = server.running.get, server.running.process.files.reload
    ask("/version", Audit_ID="first")
    ask("/api", Audit_ID="second")
    server.policy.write_text(policy_text(EVERYTHING))
    server.running.call(lambda: reload(changed_only=True))
    ask("/api", Audit_ID="third")
    server.policy.write_text("broken")
    server.running.call(lambda: reload(changed_only=True))
    ask("/api", Audit_ID="fourth")
    server.complete("fourth")
    assert [event["auditID"] for event in server.events() if event["stage"] == "ResponseComplete"] == [
        "first",
        "third",
        "fourth",
    ]
