"""Servers over one etcd: a binding that changes on one is in force on the other as soon as that one's log shows it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.conftest import Report
from tests.rbac.conftest import user
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MAPS = "/clusters/tenant/api/v1/namespaces/default/configmaps"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningServer]]:
    """Two servers over one etcd member."""
    if binary() is None:
        pytest.skip(MISSING)
    with contextlib.ExitStack() as stack:
        etcd = stack.enter_context(EtcdCluster(tmp_path_factory.mktemp("etcd"), 1))
        roots = [tmp_path_factory.mktemp(name) / ".kcp" for name in ("first", "second")]
        yield [stack.enter_context(RunningServer(root, etcd_servers=tuple(etcd.urls))) for root in roots]


def test_a_binding_of_one_server_is_in_force_on_the_other(servers: list[RunningServer], measured: Report) -> None:
    first, second = servers
    bindings = f"/clusters/tenant{RBAC}/namespaces/default/rolebindings"
    binding = {
        "metadata": {"name": "jane-views"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [user("jane")],
    }

    def answers(status: int) -> Callable[[], bool]:
        return lambda: second.get(MAPS, token="jane-token").status == status

    assert answers(403)()
    assert first.post(bindings, binding).status == 201
    granted = time.perf_counter()
    wait_until(answers(200), "the binding is in force on the other server")
    measured(f"a binding was in force on another server after {(time.perf_counter() - granted) * 1000:.0f} ms")
    assert first.get(MAPS, token="jane-token").status == 200
    assert first.ask("DELETE", f"{bindings}/jane-views").status == 200
    removed = time.perf_counter()
    assert first.get(MAPS, token="jane-token").status == 403
    wait_until(answers(403), "the removal is in force on the other server")
    measured(f"its removal was in force on another server after {(time.perf_counter() - removed) * 1000:.0f} ms")
