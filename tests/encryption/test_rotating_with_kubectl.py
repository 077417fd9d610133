"""Keys are introduced, rotated and removed as Kubernetes documents it, with kubectl, over restarts and reloads."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.encryption.files import IDENTITY, containing, encoded, keys, secrets_with, written
from tests.support.kcp_process import Started, run, started
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.waiting import wait_until

EXAMPLE = f"""
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
      - configmaps
      - pandas.awesome.bears.example # a custom resource API
    providers:
      # This configuration does not provide data confidentiality. The first
      # configured provider is specifying the "identity" mechanism, which
      # stores resources as plain text.
      #
      - identity: {{}} # plain text, in other words NO encryption
      - aesgcm:
          keys:
            - name: key1
              secret: {encoded(1, 16)}
            - name: key2
              secret: {encoded(2, 16)}
      - aescbc:
          keys:
            - name: key1
              secret: {encoded(1, 16)}
            - name: key2
              secret: {encoded(2, 16)}
  - resources:
      - events
    providers:
      - identity: {{}} # do not encrypt Events even though *.* is specified below
  - resources:
      - '*.apps' # wildcard match requires Kubernetes 1.27 or later
    providers:
      - aescbc:
          keys:
          - name: key2
            secret: {encoded(2, 16)}
  - resources:
      - '*.*' # wildcard match requires Kubernetes 1.27 or later
    providers:
      - aescbc:
          keys:
          - name: key3
            secret: {encoded(3, 16)}
"""
"""The example of Kubernetes' documentation, without secretbox."""


def kubectl_of(server: Started, home: Path) -> Kubectl:
    return Kubectl(CURRENT, server.root / "data" / "admin.kubeconfig", home)


def stored(root: Path, name: str) -> bytes:
    """The current value of a Secret or other object, as it is in the file."""
    import apsw

    connection = apsw.Connection(str(root / "data" / "kcp.db"), flags=apsw.SQLITE_OPEN_READONLY)
    sql = "SELECT log.value FROM current JOIN log USING (position) WHERE current.name = ?"
    try:
        (value,) = connection.execute(sql, (name,)).fetchone()  # type: ignore[misc]
    finally:
        connection.close()
    assert isinstance(value, bytes)
    return value


def rewrite(kubectl: Kubectl) -> None:
    """Kubernetes' documented command: `kubectl get secrets -A -o json | kubectl replace -f -`."""
    kubectl("replace", "-f", "-", stdin=kubectl("get", "secrets", "--all-namespaces", "-o", "json"))


def test_encryption_is_switched_on_rotated_and_switched_off(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "keys.yaml"
    flag = ("--encryption-provider-config", str(file))
    with started(root) as server:
        kubectl = kubectl_of(server, tmp_path)
        kubectl("create", "secret", "generic", "old", "--from-literal=word=xylophone")
        assert b"xylophone" not in stored(root, "old")  # base64
        assert containing(root, "xylophone")
        server.stop()
    written(file, secrets_with(keys("aescbc", "key1"), IDENTITY))
    with started(root, *flag) as server:
        kubectl = kubectl_of(server, tmp_path)
        kubectl("create", "secret", "generic", "new", "--from-literal=word=marimba")
        assert stored(root, "new").startswith(b"k8s:enc:aescbc:v1:key1:")
        assert stored(root, "old").startswith(b"{")
        before = kubectl("get", "secret", "old", "-o", "jsonpath={.metadata.resourceVersion} {.data.word}")
        rewrite(kubectl)
        assert stored(root, "old").startswith(b"k8s:enc:aescbc:v1:key1:")
        after = kubectl("get", "secret", "old", "-o", "jsonpath={.metadata.resourceVersion} {.data.word}")
        assert before.split()[1] == after.split()[1]
        assert int(before.split()[0]) < int(after.split()[0])

        # rotation, by reloading: the new key second, then first, then alone
        for providers in ((keys("aescbc", "key1", "key2"), IDENTITY), (keys("aesgcm", "key2"), keys("aescbc", "key1"))):
            reload(server, file, secrets_with(*providers))
        assert kubectl("get", "secret", "old", "-o", "jsonpath={.data.word}")
        rewrite(kubectl)
        assert stored(root, "old").startswith(b"k8s:enc:aesgcm:v1:key2:")
        reload(server, file, secrets_with(keys("aesgcm", "key2")))
        assert len(kubectl("get", "secrets", "-o", "name").split()) == 2

        reload(server, file, secrets_with(IDENTITY, keys("aesgcm", "key2")))
        rewrite(kubectl)
        assert stored(root, "old").startswith(b"{")
        server.stop()
    with started(root) as server:
        assert len(kubectl_of(server, tmp_path)("get", "secrets", "-o", "name").split()) == 2
        server.stop()


def reload(server: Started, file: Path, text: str) -> None:
    """Replace the configuration of a running server, and wait until it is in force."""
    before = reloads(server, "success")
    written(file, text)
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: reloads(server, "success") > before, "the keys are in force")


def reloads(server: Started, status: str) -> float:
    """The count of reloads. The server may reuse its exposition for a second."""
    name = f'apiserver_encryption_config_controller_automatic_reloads_total{{status="{status}"}} '
    return next(
        float(line.split()[-1]) for line in server.get("/metrics").decode().splitlines() if line.startswith(name)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "values of secrets are encrypted with k8s:enc:aesgcm:v1:key1: (the first is secrets default/a of logical"),
        (None, "): give --encryption-provider-config with a file that has this key"),
        (secrets_with(keys("aesgcm", "key2"), IDENTITY), "has no provider with this key for this resource: keep a key until"),
        (secrets_with(keys("aesgcm", "key1")).replace(encoded(1), encoded(7)), "has another key of this name"),
    ],
    ids=["no configuration", "the remedy", "without the key", "another key of the name"],
)  # fmt: skip
def test_a_start_without_the_keys_of_the_values_is_refused_in_one_line(
    tmp_path: Path, text: str | None, message: str
) -> None:
    root, file = tmp_path / "root", tmp_path / "keys.yaml"
    written(file, secrets_with(keys("aesgcm", "key1"), IDENTITY))
    flag = ("--encryption-provider-config", str(file))
    with started(root, *flag) as server:
        kubectl_of(server, tmp_path)("create", "secret", "generic", "a", "--from-literal=word=xylophone")
        server.stop()
    if text is not None:
        written(file, text)
    refused = run("start", "--root-directory", str(root), "--secure-port", "0", *(flag if text is not None else ()))
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert message in refused.stderr
    assert encoded(1) not in refused.stderr
    written(file, secrets_with(keys("aesgcm", "key1")))
    with started(root, *flag) as server:
        assert "word" in kubectl_of(server, tmp_path)("get", "secret", "a", "-o", "yaml")


def test_the_example_of_kubernetes_documentation_runs(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "keys.yaml"
    file.write_text(EXAMPLE)
    with started(root, "--encryption-provider-config", str(file)) as server:
        kubectl = kubectl_of(server, tmp_path)
        kubectl("create", "secret", "generic", "a-secret", "--from-literal=word=xylophone")
        kubectl("create", "namespace", "a-namespace")
        kubectl("create", "serviceaccount", "an-account")
        assert stored(root, "a-secret").startswith(b"{")
        assert stored(root, "a-namespace").startswith(b"k8s:enc:aescbc:v1:key3:")
        assert stored(root, "an-account").startswith(b"k8s:enc:aescbc:v1:key3:")
        assert "an-account" in kubectl("get", "serviceaccounts")
        kubectl("delete", "namespace", "a-namespace")


def test_a_killed_server_has_lost_no_encrypted_object_and_knows_its_keys(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "keys.yaml"
    file.write_text(secrets_with(keys("aesgcm", "key1")))
    flag = ("--encryption-provider-config", str(file))
    with started(root, *flag) as server:
        kubectl_of(server, tmp_path)("create", "secret", "generic", "a", "--from-literal=word=xylophone")
        server.stop(signal.SIGKILL)
    assert not containing(root, "xylophone")
    assert run("start", "--root-directory", str(root), "--secure-port", "0").returncode == 1
    with started(root, *flag) as server:
        assert "word" in kubectl_of(server, tmp_path)("get", "secret", "a", "-o", "yaml")


def test_a_broken_file_leaves_the_keys_of_a_running_server_and_is_logged(tmp_path: Path) -> None:
    root, file = tmp_path / "root", tmp_path / "keys.yaml"
    file.write_text(secrets_with(keys("aesgcm", "key1")))
    with started(root, "--encryption-provider-config", str(file)) as server:
        kubectl = kubectl_of(server, tmp_path)
        kubectl("create", "secret", "generic", "a", "--from-literal=word=xylophone")
        written(file, secrets_with(keys("aesgcm", "key1")).replace(encoded(1), encoded(1, 31)))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: reloads(server, "failure") == 1, "the failure is counted")
        kubectl("create", "secret", "generic", "b", "--from-literal=word=xylophone")
        assert stored(root, "b").startswith(b"k8s:enc:aesgcm:v1:key1:")
        _, errors = server.stop()
    assert "the previous content stays in force: --encryption-provider-config: " in errors
    assert "secret is not of the expected length, got 31, expected one of [16 24 32]" in errors
    assert encoded(1, 31) not in errors
