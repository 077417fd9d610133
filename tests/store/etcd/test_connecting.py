"""TLS with client certificates, user and password, failing endpoints, and the messages when etcd cannot be used."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from devtools.ports import closed_port
from kcp.auth import certificates
from kcp.store.contract import Store, StoreUnavailableError
from kcp.store.etcd.access import ConnectionOptions, EndpointError, LogOptions
from kcp.store.etcd.opening import open_store
from tests.store.conformance.backends import key, put
from tests.store.etcd.secured import SecuredEtcd


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[SecuredEtcd]:
    """A cluster that asks for client certificates."""
    if binary() is None:
        pytest.skip(MISSING)
    with SecuredEtcd(tmp_path) as running:
        yield running


async def use(connection: ConnectionOptions, folder: Path) -> None:
    """Write and read through a connection."""
    store: Store = await open_store(LogOptions(connection), folder)
    try:
        await put(store, "a", b"1")
        revision = await put(store, "a", b"2")
        await store.compact(revision)  # whether or not etcd lets its user compact it
        assert (store.oldest, store.get(key("a")) is not None) == (revision, True)
    finally:
        await store.close()


async def test_client_certificates_are_used(etcd: SecuredEtcd, tmp_path: Path) -> None:
    await use(ConnectionOptions(etcd.urls, etcd.authority_file, *etcd.identity("kcp")), tmp_path)


def refusals(etcd: SecuredEtcd, tmp_path: Path) -> Iterator[tuple[ConnectionOptions, str]]:
    """Connections that etcd refuses, and the expected messages."""
    authority, identity = etcd.authority_file, etcd.identity("kcp")
    other_authority = SecuredEtcd.another_authority(tmp_path)
    foreign = etcd.identity("foreign", other_authority)
    unlike = etcd.urls[0].replace("127.0.0.1", "127.0.0.2")
    text = tmp_path / "text"
    text.write_text("text")
    yield (
        ConnectionOptions(etcd.urls, other_authority.file, *identity),
        r"^--etcd-cafile: by .*another\.crt, .* is not trusted",
    )
    yield ConnectionOptions(etcd.urls, None, *identity), r"^--etcd-cafile: by the system's authorities, "
    yield (
        ConnectionOptions(etcd.urls, authority),
        "^--etcd-certfile: .* asks for a client certificate, and none is given",
    )
    yield ConnectionOptions(etcd.urls, authority, *foreign), r"^--etcd-certfile: .* does not accept .*foreign\.crt: "
    yield ConnectionOptions(etcd.urls, authority, identity[0], foreign[1]), "^--etcd-keyfile: .* is not the key of"
    yield ConnectionOptions(etcd.urls, authority, text, identity[1]), "^--etcd-certfile: .*/text holds no certificate"
    yield (
        ConnectionOptions(etcd.urls, authority, identity[0], text),
        "^--etcd-keyfile, --etcd-certfile: .*/text holds no key",
    )
    yield ConnectionOptions(etcd.urls, text, *identity), "^--etcd-cafile: .*/text holds no certificates"
    yield (
        ConnectionOptions(etcd.urls, tmp_path / "none.crt", *identity),
        r"^--etcd-cafile: cannot read .*/none\.crt: No such",
    )
    yield ConnectionOptions((etcd.urls[0].replace("https", "http"),)), "^--etcd-servers: .* speaks TLS; is it https://"
    yield (
        ConnectionOptions((unlike,), authority, *identity),
        r"^--etcd-servers: the certificate of .* is not for 127\.0\.0\.2",
    )


async def test_a_connection_that_cannot_work_is_refused_and_the_flag_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if binary() is None:
        pytest.skip(MISSING)
    with SecuredEtcd(tmp_path, listen="0.0.0.0") as etcd:
        for connection, message in refusals(etcd, tmp_path):
            with pytest.raises((StoreUnavailableError, EndpointError), match=message):
                await use(connection, tmp_path)
    assert capfd.readouterr().err == "", "gRPC speaks for itself"


async def test_an_endpoint_without_tls_is_named(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 1) as cluster:
        connection = ConnectionOptions((cluster.urls[0].replace("http", "https"),))
        with pytest.raises(StoreUnavailableError, match=r"^--etcd-servers: .* speaks no TLS; is it http://"):
            await use(connection, tmp_path)


async def test_one_endpoint_that_accepts_the_client_is_enough(etcd: SecuredEtcd, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with EtcdCluster(tmp_path / "plain", 1) as other:
        endpoints = (other.urls[0].replace("http", "https"), *etcd.urls)
        await use(ConnectionOptions(endpoints, etcd.authority_file, *etcd.identity("kcp")), tmp_path)


async def test_a_user_with_rights_below_the_prefix_is_enough(tmp_path: Path) -> None:
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 1) as cluster:
        cluster.control("user", "add", "root:secret")
        cluster.control("user", "grant-role", "root", "root")
        cluster.control("role", "add", "kcp")
        cluster.control("role", "grant-permission", "kcp", "--prefix=true", "readwrite", "/kcp/")
        cluster.control("user", "add", "kcp:word")
        cluster.control("user", "grant-role", "kcp", "kcp")
        cluster.control("auth", "enable")
        await use(ConnectionOptions(cluster.urls, username="kcp", password="word"), tmp_path)
        with pytest.raises(StoreUnavailableError, match=r"authentication failed, invalid user.*--etcd-password-file"):
            await use(ConnectionOptions(cluster.urls, username="kcp", password="wrong"), tmp_path)
        with pytest.raises(
            StoreUnavailableError, match=r"user name is empty \(it asks for a user: give --etcd-username"
        ):
            await use(ConnectionOptions(cluster.urls), tmp_path)


async def test_no_user_is_sent_to_an_etcd_without_authentication(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 1) as cluster, pytest.raises(StoreUnavailableError, match="leave out --etcd-username"):
        await use(ConnectionOptions(cluster.urls, username="kcp", password="word"), tmp_path)


async def test_an_expired_token_is_replaced(tmp_path: Path) -> None:
    """A token expires with its time, and when an administrator changes anything about users."""
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    identity = certificates.new_authority("tokens")
    key = tmp_path / "tokens.key"
    key.write_bytes(identity.key)
    extra = ("--auth-token", f"jwt,priv-key={key},sign-method=ES256,ttl=1h")
    with EtcdCluster(tmp_path, 1, extra) as cluster:
        cluster.control("user", "add", "root:secret")
        cluster.control("user", "grant-role", "root", "root")
        cluster.control("auth", "enable")
        connection = ConnectionOptions(cluster.urls, username="root", password="secret")
        store = await open_store(LogOptions(connection, "/kcp"), tmp_path)
        try:
            for number in range(3):
                await asyncio.to_thread(cluster.control, "--user", "root:secret", "user", "add", f"u{number}:word")
                await put(store, "a")
        finally:
            await store.close()


async def test_endpoints_that_do_not_answer_are_passed_over(tmp_path: Path) -> None:
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path, 1) as cluster, closed_port() as one, closed_port() as other:
        dead = [f"http://127.0.0.1:{port}" for port in (one, other)]
        await use(ConnectionOptions((*dead, *cluster.urls)), tmp_path)


@pytest.mark.parametrize("endpoint", ["ftp://a:1", "http://a:b", "http://", "http://a:1/path"])
async def test_invalid_endpoints_are_refused(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(EndpointError):
        await use(ConnectionOptions((endpoint,)), tmp_path)


async def test_an_unreadable_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match=r"missing\.crt"):
        await use(ConnectionOptions(("https://127.0.0.1:1",), tmp_path / "missing.crt"), tmp_path)
