"""Users whose names the owner of a logical cluster chooses: they take nothing of what other users of their names have."""

from __future__ import annotations

from pathlib import Path

from kcp.server.process.parts import Parts
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.request_info import RequestInfo
from tests.support.running_server import RunningServer

CLUSTER = "/clusters/tenant"
BINDINGS = f"{CLUSTER}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
OWNERS = {
    "metadata": {"name": "jane-rules"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
}
TOKEN = f"{CLUSTER}/api/v1/namespaces/default/serviceaccounts/default/token"


def test_the_limits_of_a_user_are_not_those_of_a_name_that_a_logical_cluster_chooses(tmp_path: Path) -> None:
    seen: list[tuple[str, bool, str]] = []

    async def note(exchange: Exchange, info: RequestInfo) -> None:
        if info.path == "/version":
            seen.append((exchange.user.name, exchange.is_local, exchange.client))

    with RunningServer(tmp_path, Parts(filters=lambda _: [note])) as server:
        assert server.post(BINDINGS, OWNERS).status == 201
        account = server.post(TOKEN, {"spec": {}}, token="jane-token").json["status"]["token"]
        path = f"{CLUSTER}/version"
        assert server.get(path, token="jane-token").status == 200
        assert server.get(path, Impersonate_User="jane", Impersonate_Uid="u-jane").status == 200
        assert server.get(path, token="jane-token", Impersonate_User="joe", Impersonate_Uid="u-joe").status == 200
        assert server.get(path, token=account).status == 200
    robot = "system:serviceaccount:default:default"
    assert [each[:2] for each in seen] == [("jane", False), ("jane", False), ("joe", True), (robot, True)]
    assert [each[2] for each in seen[:3]] == ["jane u-jane", "jane u-jane", "joe u-joe in tenant"]
