"""The pytest plugin in a user's project."""

from __future__ import annotations

import pytest

from tests.conftest import Report

pytest_plugins = ["pytester"]

TESTS = """
    import ssl, time, urllib.request, json

    seen = []

    def ask(cluster, method, path, body=None):
        headers = {"Authorization": f"Bearer {cluster.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(cluster.url + path, data, headers, method=method)
        trust = ssl.create_default_context(cafile=str(cluster.certificate_authority))
        with urllib.request.urlopen(request, context=trust) as answer:
            return json.load(answer)

    def in_a_cluster_of_its_own(cluster):
        path = "/api/v1/namespaces/default/configmaps"
        assert [item["metadata"]["name"] for item in ask(cluster, "GET", path)["items"]] == ["kube-root-ca.crt"]
        ask(cluster, "POST", path, {"metadata": {"name": "same"}})
        assert cluster.name not in seen
        assert cluster.kubeconfig.exists()
        seen.append(cluster.name)

    def test_one(kcp_cluster):
        in_a_cluster_of_its_own(kcp_cluster)

    def test_two(kcp_cluster):
        in_a_cluster_of_its_own(kcp_cluster)

    def test_the_server_is_the_same(kcp_server, kcp_cluster):
        assert kcp_cluster.url.startswith(kcp_server.url)
        assert len(seen) == 2
"""


def test_each_test_gets_a_logical_cluster_of_its_own(pytester: pytest.Pytester, measured: Report) -> None:
    pytester.makepyfile(TESTS)
    ran = pytester.runpytest_subprocess("-W", "error", "--durations=0", "--durations-min=0", "-vv", "-p", "no:randomly")
    ran.assert_outcomes(passed=3)
    setups = [line.split()[0] for line in ran.outlines if "setup" in line]
    measured(f"kcp_cluster: setup of the first test {max(setups)} (starts the server), of the others {min(setups)}")


def test_a_project_that_uses_no_fixture_starts_no_server(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert not [name for name in sys.modules if name.startswith(("kcp.server", "kcp.store", "uvloop", "h2corn"))]
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_workers_have_a_server_each(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_it(kcp_server, kcp_cluster, number):
            assert kcp_cluster.kubeconfig.is_relative_to(kcp_server.root_directory)
        """
    )
    pytester.runpytest_subprocess("-n", "2").assert_outcomes(passed=4)
