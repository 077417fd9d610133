"""TLS with client certificates, user and password, endpoints that fail, and what is said when etcd cannot be used."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcp.auth import certificates
from kcp.auth.certificates import KeyPair
from kcp.store.contract import Store, StoreUnavailableError
from kcp.store.etcd.client import Connection, EndpointError
from kcp.store.etcd.store import Options, open_store
from tests.store.conformance.backends import key, put
from tests.store.etcd.cluster import MISSING, EtcdCluster, binary, free_ports


def write(folder: Path, name: str, pair: KeyPair) -> tuple[Path, Path]:
    """Put a certificate and its key into files."""
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    for path, content in zip(paths, (pair.certificate, pair.key), strict=True):
        path.write_bytes(content)
    return paths


@pytest.fixture
def authority(tmp_path: Path) -> KeyPair:
    """Who signs everything here."""
    made = certificates.new_authority("etcd-ca")
    write(tmp_path, "ca", made)
    return made


@pytest.fixture
def secured(tmp_path: Path, authority: KeyPair) -> Iterator[EtcdCluster]:
    """A cluster that asks for client certificates."""
    if binary() is None:
        pytest.skip(MISSING)
    serving = write(
        tmp_path, "serving", certificates.new_serving_identity(authority, "etcd", ["127.0.0.1", "localhost"])
    )
    extra = ["--cert-file", str(serving[0]), "--key-file", str(serving[1])]
    extra += ["--client-cert-auth", "--trusted-ca-file", str(tmp_path / "ca.crt")]
    with EtcdCluster(tmp_path, 1, extra, scheme="https") as running:
        yield running


async def use(connection: Connection, folder: Path) -> None:
    """Write and read through a connection."""
    store: Store = await open_store(Options(connection), folder)
    try:
        await put(store, "a", b"1")
        assert store.get(key("a")) is not None
    finally:
        await store.close()


def test_client_certificates_are_used(secured: EtcdCluster, authority: KeyPair, tmp_path: Path) -> None:
    paths = write(tmp_path, "client", certificates.new_client_identity(authority, "kcp", ()))
    asyncio.run(use(Connection(secured.urls, tmp_path / "ca.crt", *paths), tmp_path))


def test_a_server_certificate_that_is_not_trusted_is_refused(
    secured: EtcdCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kcp.store.etcd.store._OPEN_SECONDS", 2.0)
    other = certificates.new_authority("another")
    write(tmp_path, "other", other)
    paths = write(tmp_path, "client", certificates.new_client_identity(other, "kcp", ()))
    with pytest.raises(StoreUnavailableError):
        asyncio.run(use(Connection(secured.urls, tmp_path / "other.crt", *paths), tmp_path))


def etcdctl(cluster: EtcdCluster, *words: str) -> None:
    """Run etcd's own client."""
    program = binary("etcdctl")
    assert program is not None
    subprocess.run([program, "--endpoints", cluster.urls[0], *words], check=True, capture_output=True)


def test_a_user_with_rights_below_the_prefix_is_enough(tmp_path: Path) -> None:
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 1) as cluster:
        etcdctl(cluster, "user", "add", "root:secret")
        etcdctl(cluster, "user", "grant-role", "root", "root")
        etcdctl(cluster, "role", "add", "kcp")
        etcdctl(cluster, "role", "grant-permission", "kcp", "--prefix=true", "readwrite", "/kcp/")
        etcdctl(cluster, "user", "add", "kcp:word")
        etcdctl(cluster, "user", "grant-role", "kcp", "kcp")
        etcdctl(cluster, "auth", "enable")
        asyncio.run(use(Connection(cluster.urls, username="kcp", password="word"), tmp_path))
        with pytest.raises(StoreUnavailableError, match="authentication failed"):
            asyncio.run(use(Connection(cluster.urls, username="kcp", password="wrong"), tmp_path))
        with pytest.raises(StoreUnavailableError, match=r"permission|user name is empty"):
            asyncio.run(use(Connection(cluster.urls), tmp_path))


def test_a_signed_token_that_is_over_is_replaced(tmp_path: Path) -> None:
    """It is over when an administrator changes anything about users, or with its time."""
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    identity = certificates.new_authority("tokens")
    key = tmp_path / "tokens.key"
    key.write_bytes(identity.key)
    extra = ("--auth-token", f"jwt,priv-key={key},sign-method=ES256,ttl=1h")
    with EtcdCluster(tmp_path, 1, extra) as cluster:
        etcdctl(cluster, "user", "add", "root:secret")
        etcdctl(cluster, "user", "grant-role", "root", "root")
        etcdctl(cluster, "auth", "enable")

        async def work() -> None:
            connection = Connection(cluster.urls, username="root", password="secret")
            store = await open_store(Options(connection, "/kcp"), tmp_path)
            try:
                for number in range(3):
                    await asyncio.to_thread(etcdctl, cluster, "--user", "root:secret", "user", "add", f"u{number}:word")
                    await put(store, "a")
            finally:
                await store.close()

        asyncio.run(work())


def test_endpoints_that_do_not_answer_are_passed_over(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 1) as cluster:
        dead = [f"http://127.0.0.1:{port}" for port in free_ports(2)]
        asyncio.run(use(Connection((*dead, *cluster.urls)), tmp_path))


@pytest.mark.parametrize("endpoint", ["ftp://a:1", "http://a:b", "http://", "http://a:1/path"])
def test_what_is_no_endpoint_is_refused(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(EndpointError):
        asyncio.run(use(Connection((endpoint,)), tmp_path))


def test_an_unreadable_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"missing\.crt"):
        asyncio.run(use(Connection(("https://127.0.0.1:1",), tmp_path / "missing.crt"), tmp_path))
