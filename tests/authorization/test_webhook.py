"""A server that asks a real webhook over HTTPS who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.authorization.rbac.policies import Policies
from kcp.outbound.owner import Outbound
from kcp.server.observability.metrics import Metrics
from kcp.server.process.authorization import configured_authorizers
from kcp.server.process.authorization_options import AuthorizationOptions
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.reloading import ReloadedFiles
from kcp.store.sqlite.store import open_store
from tests.authorization.test_configuration import RBAC, content, webhook
from tests.support.https_server import HTTPSServer, json_answer
from tests.support.running_server import RunningServer

JANE = {"token": "jane-token"}
MAPS = "/api/v1/namespaces/default/configmaps"


class Webhook:
    """Allows reading of ConfigMaps, denies Secrets, and has no opinion on anything else."""

    def __init__(self, folder: Path) -> None:
        self.specs: list[dict[str, Any]] = []
        self.status = 200
        self.changes: dict[str, Any] = {}
        self.server = HTTPSServer(folder, self._answer)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        review = await request.json()
        self.specs.append(review["spec"])
        asked = review["spec"].get("resourceAttributes", {}).get("resource")
        status = {
            "configmaps": {"allowed": True, "reason": "everybody reads them"},
            "secrets": {"allowed": False, "denied": True, "reason": "nobody reads them"},
        }.get(asked, {"allowed": False, "reason": "no idea"})
        return json_answer({**review, "status": status, **self.changes}, self.status)


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Webhook]:
    asked = Webhook(tmp_path / "hook")
    with asked.server:
        yield asked


@contextmanager
def serving(tmp_path: Path, hook: Webhook, *others: dict[str, Any], **changes: Any) -> Iterator[RunningServer]:
    """A server that asks the webhook, then the other authorizers."""
    file = tmp_path / "authorization.yaml"
    file.write_bytes(content(webhook(hook.server.kubeconfig("kubeconfig"), **changes), *others))
    with RunningServer(tmp_path / "root", authorization=AuthorizationOptions(config=file)) as running:
        yield running


def test_the_webhook_allows_denies_or_leaves_it_to_the_next(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook, RBAC) as server:
        assert server.get(MAPS, **JANE).status == 200
        assert server.get("/api", **JANE).status == 200, "RBAC allows it"
        refused = server.get("/api/v1/namespaces/default/secrets", **JANE)
        assert (refused.status, refused.json["message"].endswith(": nobody reads them")) == (403, True)
        assert server.get("/api/v1/limitranges", **JANE).json["message"].endswith("cluster scope: no idea")
        assert server.get("/api/v1/namespaces/default/secrets").status == 200, "members of system:masters"


def test_the_webhook_gets_a_subject_access_review(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook) as server:
        server.get(f"/clusters/tenant{MAPS}/a", **JANE)
        server.get("/clusters/tenant/healthz", **JANE)
        cluster = {"authorization.kubernetes.io/cluster-name": ["tenant"]}
        user = {"user": "jane", "uid": "u-jane", "groups": ["devs", "system:authenticated"], "extra": cluster}
        asked = {"namespace": "default", "verb": "get", "version": "v1", "resource": "configmaps", "name": "a"}
        assert hook.specs == [
            {**user, "resourceAttributes": asked},
            {**user, "nonResourceAttributes": {"path": "/healthz", "verb": "get"}},
        ]


def test_v1beta1_has_another_name_for_groups(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook, subjectAccessReviewVersion="v1beta1") as server:
        assert server.get(MAPS, **JANE).status == 200
        assert hook.specs[0]["group"] == ["devs", "system:authenticated"]
        assert "groups" not in hook.specs[0]


def test_nobody_but_masters_asks_about_all_logical_clusters(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook) as server:
        assert server.get("/clusters/*/api/v1/configmaps", **JANE).status == 403
        assert hook.specs == []


def test_answers_are_kept(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook) as server:
        for _ in range(3):
            assert server.get(MAPS, **JANE).status == 200
            assert server.get("/api/v1/limitranges", **JANE).status == 403
        assert len(hook.specs) == 2
        assert server.get(f"/clusters/other{MAPS}", **JANE).status == 200
        assert len(hook.specs) == 3


def test_answers_are_not_kept_where_the_file_says_so(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook, cacheAuthorizedRequests=False, unauthorizedTTL="1ns") as server:
        for _ in range(2):
            assert server.get(MAPS, **JANE).status == 200
            assert server.get("/api/v1/limitranges", **JANE).status == 403
        assert len(hook.specs) == 4


@pytest.mark.parametrize("policy", ["Deny", "NoOpinion"])
def test_the_policy_for_failures_decides_where_the_webhook_fails(tmp_path: Path, hook: Webhook, policy: str) -> None:
    with serving(tmp_path, hook, RBAC, failurePolicy=policy) as server:
        hook.status = 403
        answer = server.get("/api", **JANE)
        assert answer.status == (403 if policy == "Deny" else 200)
        if policy == "Deny":
            assert answer.json["message"].endswith(': the authorizer "w" failed')
            assert "hook" not in answer.json["message"]
        hook.status = 200
        assert server.get(MAPS, **JANE).status == 200, "a failure is not kept"


@pytest.mark.parametrize(
    "changes",
    [
        {"status": {"allowed": True, "denied": True}},
        {"status": "yes"},
        {"status": {"allowed": "yes"}},
        {"kind": "TokenReview"},
        {"apiVersion": "authorization.k8s.io/v1beta1"},
    ],
)
def test_an_answer_that_is_no_review_is_a_failure(tmp_path: Path, hook: Webhook, changes: dict[str, Any]) -> None:
    with serving(tmp_path, hook, RBAC) as server:
        hook.changes = changes
        refused = server.get(MAPS, **JANE)
        assert (refused.status, refused.json["message"].endswith(': the authorizer "w" failed')) == (403, True)


def test_match_conditions_exclude_requests(tmp_path: Path, hook: Webhook) -> None:
    conditions = [
        {"expression": "has(request.resourceAttributes)"},
        {"expression": "request.resourceAttributes.namespace != ''"},
        {"expression": "!('admins' in request.groups)"},
    ]
    more = {"matchConditions": conditions, "matchConditionSubjectAccessReviewVersion": "v1"}
    with serving(tmp_path, hook, RBAC, **more) as server:
        assert server.get("/api", **JANE).status == 200
        assert server.get("/api/v1/configmaps", **JANE).status == 403
        assert hook.specs == []
        assert server.get(MAPS, **JANE).status == 200
        assert len(hook.specs) == 1


def test_a_match_condition_that_fails_is_a_failure_unless_another_excludes(tmp_path: Path, hook: Webhook) -> None:
    conditions = [{"expression": "request.groups[9] == 'x'"}, {"expression": "has(request.resourceAttributes)"}]
    more = {"matchConditions": conditions, "matchConditionSubjectAccessReviewVersion": "v1"}
    with serving(tmp_path, hook, RBAC, **more) as server:
        assert server.get("/api", **JANE).status == 200
        assert server.get(MAPS, **JANE).json["message"].endswith(': the authorizer "w" failed')
        assert hook.specs == []


def test_the_rules_of_a_webhook_are_incomplete(tmp_path: Path, hook: Webhook) -> None:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "metadata": {},
        "spec": {"namespace": "default"},
    }
    with serving(tmp_path, hook, RBAC) as server:
        status = server.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body, **JANE).json["status"]
        assert status["incomplete"] is True
        assert status["evaluationError"] == "webhook authorizer does not support user rule resolution"
        assert status["resourceRules"]


def test_the_file_is_reloaded(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook) as server:
        assert server.get(MAPS, **JANE).status == 200
        file = tmp_path / "authorization.yaml"
        file.write_bytes(content(RBAC))
        server.call(server.process.files.reload)
        assert server.get(MAPS, **JANE).status == 403
        assert server.get("/api", **JANE).status == 200
        file.write_bytes(content({"type": "Node", "name": "n"}))
        server.call(server.process.files.reload)
        assert server.get("/api", **JANE).status == 200, "the previous content stays in force"


async def test_clients_of_replaced_webhooks_are_closed(tmp_path: Path, hook: Webhook) -> None:
    file, kubeconfig = tmp_path / "authorization.yaml", hook.server.kubeconfig("kubeconfig")
    file.write_bytes(content(webhook(kubeconfig)))
    unusable = tmp_path / "unusable"
    unusable.write_text("kind: Nothing")
    outbound, files, store = Outbound(), ReloadedFiles(), open_store(tmp_path / "kcp.db")
    try:
        configured_authorizers(
            AuthorizationOptions(config=file), RBACAuthorizer(Policies(store)), outbound, files, Metrics()
        )
        for _ in range(3):
            files.reload()
            file.write_bytes(content(webhook(kubeconfig), {**webhook(unusable), "name": "other"}))
            files.reload()
            file.write_bytes(content(webhook(kubeconfig)))
        assert len(outbound._clients) == 2, "those in force, and those that decisions may still use"
    finally:
        await outbound.close()
        await store.close()


def test_decisions_are_counted(tmp_path: Path, hook: Webhook) -> None:
    with serving(tmp_path, hook, RBAC) as server:
        for path in (MAPS, "/api/v1/namespaces/default/secrets", "/api"):
            server.get(path, **JANE)
        shown = server.get("/metrics").body.decode()
    for line in (
        'apiserver_authorization_decisions_total{decision="allowed",name="w",type="Webhook"} 1.0',
        'apiserver_authorization_decisions_total{decision="denied",name="w",type="Webhook"} 1.0',
        'apiserver_authorization_decisions_total{decision="allowed",name="rbac",type="RBAC"} 1.0',
        'apiserver_authorization_webhook_evaluations_total{name="w",result="success"} 3.0',
    ):
        assert line in shown


def test_the_webhook_of_the_flags(tmp_path: Path, hook: Webhook) -> None:
    kubeconfig = hook.server.kubeconfig("kubeconfig")
    options = AuthorizationOptions(mode=("Webhook", "RBAC"), webhook_config_file=kubeconfig)
    with RunningServer(tmp_path / "root", authorization=options) as server:
        assert server.get(MAPS, **JANE).status == 200
        hook.status = 403
        assert server.get("/api", **JANE).status == 200, "a webhook that fails leaves it to RBAC"


def test_always_allow_and_always_deny(tmp_path: Path) -> None:
    with RunningServer(tmp_path / "allow", authorization=AuthorizationOptions(mode=("AlwaysAllow",))) as server:
        assert server.get("/api/v1/secrets", **JANE).status == 200
        assert server.get("/api/v1/secrets", token=None).status == 403
        assert server.get("/clusters/*/api/v1/secrets", **JANE).status == 403
    with RunningServer(tmp_path / "deny", authorization=AuthorizationOptions(mode=("AlwaysDeny",))) as server:
        assert server.get("/api", **JANE).json["message"].endswith(": Everything is forbidden.")
        assert server.get("/api").status == 200, "members of system:masters"


def test_a_file_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "authorization.yaml"
    file.write_bytes(content())
    with pytest.raises(ConfigurationError, match=r"--authorization-config: .*authorizers: Required value"):
        RunningServer(tmp_path / "root", authorization=AuthorizationOptions(config=file))
    missing = AuthorizationOptions(config=tmp_path / "missing.yaml")
    with pytest.raises(ConfigurationError, match="--authorization-config: cannot read"):
        RunningServer(tmp_path / "other", authorization=missing)
