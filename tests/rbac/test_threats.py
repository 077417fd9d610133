"""Known ways around authorization, each tried against a server. Numbers are those of the published vulnerabilities."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Decision, Rules
from kcp.auth.authorization.rbac import authorizer as rbac_authorizer
from kcp.auth.users import User, authenticated
from kcp.server.process.parts import Parts
from tests.rbac.conftest import Access, rule, user
from tests.support.objects import DEFINITIONS, definition
from tests.support.running_server import Answer, RunningServer
from tests.support.waiting import PATIENCE

RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
MINE, OTHER = "/clusters/tenant-a", "/clusters/tenant-b"
JANE: Final = "jane-token"


def bind(
    server: RunningServer, cluster: str, name: str, role: str, subject: dict[str, Any], namespace: str = ""
) -> None:
    """Bind a ClusterRole, in a namespace if one is given."""
    plural = f"namespaces/{namespace}/rolebindings" if namespace else "clusterrolebindings"
    body = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
    assert server.post(f"{cluster}{RBAC}/{plural}", body).status == 201


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server where jane is cluster-admin of one logical cluster, and has a namespace of another."""
    with RunningServer(tmp_path_factory.mktemp("server")) as running:
        bind(running, MINE, "jane-rules", "cluster-admin", user("jane"))
        bind(running, OTHER, "jane-has-a-namespace", "cluster-admin", user("jane"), "default")
        for cluster in (MINE, OTHER):
            assert running.post(f"{cluster}{DEFINITIONS}", definition("widgets", "Widget")).status == 201
            scoped = definition("galaxies", "Galaxy", scope="Cluster")
            assert running.post(f"{cluster}{DEFINITIONS}", scoped).status == 201
        yield running


def impersonating(server: RunningServer, path: str, **headers: str) -> Answer:
    """A request of jane as somebody else."""
    sent: dict[str, Any] = {f"Impersonate_{name}": value for name, value in headers.items()}
    return server.get(path, token=JANE, **sent)


def test_cve_2019_11247_a_cluster_scoped_object_is_not_reached_through_a_namespace(server: RunningServer) -> None:
    galaxy = {"apiVersion": "example.com/v1", "kind": "Galaxy", "metadata": {"name": "far"}}
    assert server.post(f"{OTHER}/apis/example.com/v1/galaxies", galaxy).status == 201
    for path in ("galaxies", "galaxies/far"):
        assert server.get(f"{OTHER}/apis/example.com/v1/{path}", token=JANE).status == 403
        assert server.get(f"{OTHER}/apis/example.com/v1/namespaces/default/{path}", token=JANE).status == 404
    deleted = server.ask("DELETE", f"{OTHER}/apis/example.com/v1/namespaces/default/galaxies/far", token=JANE)
    assert deleted.status == 404
    assert server.get(f"{OTHER}/apis/example.com/v1/galaxies/far").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/apis/example.com/v1/namespaces/default/widgets/..%2f..%2fkube-system%2fwidgets",
        "/apis/example.com/v1/namespaces/default/../kube-system/widgets",
        "/apis/example.com/v1/namespaces/default%2f..%2fkube-system/widgets",
        "/apis/example.com/v1/namespaces//widgets",
        "/api/v1/namespaces/default/configmaps/../../kube-system/secrets",
        "/api/v1/namespaces/default%00/secrets",
    ],
)
def test_cve_2022_3162_a_crafted_path_reads_nothing_else(server: RunningServer, path: str) -> None:
    assert server.get(f"{OTHER}{path}", token=JANE).status in (400, 403, 404)


@pytest.mark.parametrize(
    "path",
    ["/clusters/tenant-b", "/clusters/*", "/clusters/tenant-a/../tenant-b", "/clusters/tenant-a%2f..%2ftenant-b"],
)
def test_a_path_does_not_lead_into_another_logical_cluster(server: RunningServer, path: str) -> None:
    assert server.get(f"{MINE}/api/v1/secrets", token=JANE).status == 200
    assert server.get(f"{path}/api/v1/secrets", token=JANE).status in (400, 403, 404)


def test_a_header_and_a_path_that_name_different_logical_clusters_are_one_request_to_the_path_s(
    server: RunningServer,
) -> None:
    header = {"X_Kubernetes_Cluster": "tenant-a"}
    assert server.get("/api/v1/secrets", token=JANE, **header).status == 200
    assert server.get(f"{OTHER}/api/v1/secrets", token=JANE, **header).status == 403
    assert server.get("/api/v1/secrets", token=JANE, X_Kubernetes_Cluster="*").status == 403


def test_ghsa_c7xh_gjv4_4jgv_impersonation_in_one_logical_cluster_is_worth_nothing_in_another(
    server: RunningServer,
) -> None:
    bob = {"User": "bob", "Group": "admins"}
    assert impersonating(server, f"{MINE}/api/v1/secrets", **bob).status == 403, "as bob, who has no rights"
    assert "bob" in impersonating(server, f"{MINE}/api/v1/secrets", **bob).json["message"]
    refused = impersonating(server, f"{OTHER}/api/v1/secrets", **bob)
    assert (refused.status, "impersonate" in refused.json["message"]) == (403, True)
    assert impersonating(server, "/api/v1/secrets", **bob).status == 403


def test_ghsa_c7xh_gjv4_4jgv_a_cluster_admin_does_not_become_a_master(server: RunningServer) -> None:
    group = "system:masters"
    refused = impersonating(server, f"{MINE}/api/v1/secrets", User="bob", Group=group)
    assert refused.status == 403
    assert refused.json["message"].endswith(f"impersonating the {group} group is not allowed")
    for path in ("/clusters/*/api/v1/secrets", "/clusters/*/metrics"):
        assert impersonating(server, path, User="bob", Group=group).status == 403


def test_a_cluster_admin_does_not_read_about_the_whole_server(server: RunningServer) -> None:
    assert server.get(f"{MINE}/metrics", token=JANE).status == 403
    assert server.get("/metrics", token=JANE).status == 403
    monitoring = {"User": "bob", "Group": "system:monitoring"}
    assert impersonating(server, f"{MINE}/metrics", **monitoring).status == 403
    assert server.get("/metrics", token="probe-token").status == 200
    assert server.get(f"{MINE}/metrics", token="probe-token").status == 403


def test_a_review_of_another_servers_metrics_goes_by_the_roles_of_the_logical_cluster(server: RunningServer) -> None:
    attributes = {"nonResourceAttributes": {"path": "/metrics", "verb": "get"}}

    def allowed(kind: str, spec: dict[str, Any]) -> bool:
        body = {"kind": kind, "apiVersion": "authorization.k8s.io/v1", "spec": spec}
        answer = server.post(f"{MINE}/apis/authorization.k8s.io/v1/{kind.lower()}s", body, token=JANE)
        assert answer.status == 201, answer.body
        found: bool = answer.json["status"]["allowed"]
        return found

    assert allowed("SubjectAccessReview", {**attributes, "user": "bob", "groups": ["system:monitoring"]})
    assert not allowed("SubjectAccessReview", {**attributes, "user": "bob"})
    assert not allowed("SelfSubjectAccessReview", attributes), "the answer is about this server"


def test_an_update_does_not_create_without_the_permission(server: RunningServer) -> None:
    updater = {
        "metadata": {"name": "updater"},
        "rules": [rule("update,patch,get", "configmaps,leases", ["", "coordination.k8s.io"])],
    }
    assert server.post(f"/clusters/tenant-c{RBAC}/clusterroles", updater).status == 201
    bind(server, "/clusters/tenant-c", "jane-updates", "updater", user("jane"))
    leases = "/clusters/tenant-c/apis/coordination.k8s.io/v1/namespaces/default/leases"
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {}}
    refused = server.ask("PUT", f"{leases}/l", lease, token=JANE)
    assert refused.status == 403
    assert refused.json["message"] == (
        'leases.coordination.k8s.io "l" is forbidden: User "jane" cannot create resource "leases" in API group '
        '"coordination.k8s.io" in the namespace "default"'
    )
    maps = "/clusters/tenant-c/api/v1/namespaces/default/configmaps"
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}

    def apply() -> Answer:
        path, media_type = f"{maps}/m?fieldManager=jane", "application/apply-patch+yaml"
        return server.ask("PATCH", path, config_map, token=JANE, Content_Type=media_type)

    assert apply().status == 403
    assert server.post(maps, config_map).status == 201
    assert apply().status == 200


def test_a_review_says_nothing_about_another_logical_cluster(server: RunningServer) -> None:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": {"verb": "get", "resource": "secrets"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    for cluster, allowed in ((MINE, True), (OTHER, False)):
        assert server.post(f"{cluster}{path}", review, token=JANE).json["status"]["allowed"] is allowed
    spec = {"resourceAttributes": {"verb": "get", "resource": "secrets"}, "user": "jane"}
    others = {**review, "kind": "SubjectAccessReview", "spec": spec}
    assert server.post(f"{OTHER}/apis/authorization.k8s.io/v1/subjectaccessreviews", others, token=JANE).status == 403


class Waiting:
    """An authorizer that lets the first request of jane wait until the administrator's has been decided."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        if attributes.resource != "configmaps":
            return Decision(False)
        if user.name == "jane":
            self.waits.set()
            await self.goes_on.wait()
        return Decision("system:masters" in user.groups, f"asked for {user.name}")

    async def rules_for(self, *_: object) -> Rules:
        return Rules((), ())


def test_a_request_is_never_served_with_the_user_of_another(tmp_path: Any) -> None:
    waiting = Waiting()
    with (
        RunningServer(tmp_path / "root", Parts(authorizers=lambda _: [waiting])) as server,
        ThreadPoolExecutor() as pool,
    ):
        path = "/api/v1/namespaces/default/configmaps"
        slow = pool.submit(server.get, path, token=JANE)
        server.submit(waiting.waits.wait()).result(PATIENCE)
        assert server.get(path).status == 200
        server.call(waiting.goes_on.set)
        refused = slow.result(PATIENCE)
        assert refused.status == 403
        assert refused.json["message"].endswith("asked for jane")


async def test_remembered_decisions_are_bounded_in_number_and_size(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rbac_authorizer, "_REMEMBERED", 50)
    monkeypatch.setattr(rbac_authorizer, "_REMEMBERED_TEXT", 10_000)
    await access.role("reader", rule("get", "configmaps"))
    await access.bind("jane-reads", "Role/reader", user("jane"))
    jane, verdicts = authenticated("jane"), access.authorizer._verdicts
    for number in range(200):
        assert not await access.allows(jane, "get", f"things-{number}", namespace="default")
        assert len(verdicts) <= 50
    for number in range(20):
        assert not await access.allows(jane, "get", "configmaps", namespace="n" * 3_000 + str(number))
        assert sum(len(str(part)) for identity in verdicts for part in identity) < 20_000
    assert await access.allows(jane, "get", "configmaps")
