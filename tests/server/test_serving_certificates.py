"""TLS certificates that change while a server runs: new connections get the new ones, open connections continue."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import gc
import http.client
import logging
import os
import shutil
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from kcp.auth import certificates
from kcp.auth.certificates import KeyPair
from kcp.server.process.configuration import Configuration
from kcp.server.process.running import ServerProcess
from kcp.testing import Server
from tests.support.http2_frames import ConnectionEndedError, Http2Connection
from tests.support.objects import config_map
from tests.support.running_server import HELD, RunningServer
from tests.support.waiting import PATIENCE, wait_until

PATH = "/api/v1/namespaces/default/configmaps"
AUTHORITY = certificates.new_authority("mine")


def issued() -> KeyPair:
    return certificates.new_serving_identity(AUTHORITY, "kcp", ["localhost", "127.0.0.1"])


class SecretVolume:
    """A directory like a Secret volume of the kubelet: all files change at once, when a symbolic link is replaced."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = 0
        folder.mkdir()
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(Path("..data") / name)
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"

    def publish(self, pair: KeyPair) -> None:
        self._versions += 1
        version = self._folder / f"..version_{self._versions}"
        version.mkdir()
        (version / "tls.crt").write_bytes(pair.certificate)
        (version / "tls.key").write_bytes(pair.key)
        link = self._folder / "..data_tmp"
        link.symlink_to(version.name)
        before = (self._folder / "..data").resolve() if self._versions > 1 else None
        link.rename(self._folder / "..data")
        if before is not None:
            shutil.rmtree(before)


@pytest.fixture
def volume(tmp_path: Path) -> SecretVolume:
    found = SecretVolume(tmp_path / "volume")
    found.publish(issued())
    return found


@pytest.fixture
def trust(tmp_path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=AUTHORITY.certificate.decode())


@pytest.fixture
def server(fresh_root: Path, volume: SecretVolume) -> Iterator[RunningServer]:
    with RunningServer(fresh_root, tls_cert_file=volume.certificate, tls_private_key_file=volume.key) as found:
        yield found


def shown(port: int) -> bytes:
    """Return the certificate that a new connection gets, in DER form."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        found = connection.getpeercert(binary_form=True)
        assert found is not None
        return found


def der(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(
        pair.certificate.decode().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
    )


def reload(server: RunningServer) -> None:
    server.call(lambda: server.process.files.reload(changed_only=True))


def replace_certificate(server: RunningServer, volume: SecretVolume) -> KeyPair:
    """Publish a new certificate, reload, and wait until new connections get it."""
    pair = issued()
    volume.publish(pair)
    reload(server)
    wait_until(lambda: shown(server.port) == der(pair), "the new certificate is served")
    return pair


def test_new_connections_get_the_certificate_of_a_volume_that_was_updated(
    server: RunningServer, volume: SecretVolume, trust: ssl.SSLContext
) -> None:
    for _ in range(3):
        pair = replace_certificate(server, volume)
    expires = certificates.expiration(pair.certificate).timestamp()
    wait_until(lambda: expiration_metric(server) == expires, "the metric follows")
    assert {shown(server.port) for _ in range(20)} == {der(pair)}, "no connection goes to a server that was replaced"
    assert trusted_by(server.process.kubeconfig) == pair.certificate


def expiration_metric(server: RunningServer) -> float:
    assert server.process.composition is not None
    lines = server.process.composition.metrics.text().decode().splitlines()
    (line,) = [line for line in lines if line.startswith("kcp_serving_certificate_expiration_timestamp_seconds ")]
    return float(line.rpartition(" ")[2])


def trusted_by(kubeconfig: Path) -> bytes:
    found = {line for line in kubeconfig.read_text().splitlines() if "certificate-authority-data" in line}
    (line,) = found
    return base64.b64decode(line.partition(":")[2])


def test_a_watch_and_a_transfer_go_on_when_the_certificate_is_replaced(
    server: RunningServer, volume: SecretVolume, trust: ssl.SSLContext
) -> None:
    for number in range(8):
        assert server.post(PATH, config_map(f"big{number}", text="x" * (1 << 20)), context=trust).status == 201
    with contextlib.closing(server.connect(trust)) as watcher, contextlib.closing(server.connect(trust)) as reader:
        watcher.request("GET", PATH + "?watch=true&resourceVersion=0", headers=server.headers())
        events = watcher.getresponse()
        reader.request("GET", PATH, headers=server.headers())
        items = reader.getresponse()
        replace_certificate(server, volume)
        assert server.post(PATH, config_map("after"), context=trust).status == 201
        assert any(b'"after"' in line for line in iter(events.readline, b"")), "the watch goes on"
        assert len(items.read()) > 8 << 20, "the list is complete"


def test_no_connection_is_refused_and_no_acknowledged_write_lost_while_certificates_are_replaced(
    server: RunningServer, volume: SecretVolume, trust: ssl.SSLContext
) -> None:
    acknowledged: list[str] = []
    closed: list[str] = []
    problems: list[BaseException] = []
    stop = threading.Event()

    def write(worker: int) -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                name = f"w{worker}-{number}"
                try:
                    assert server.post(PATH, config_map(name), context=trust).status == 201
                except (ConnectionResetError, http.client.RemoteDisconnected, ssl.SSLEOFError):
                    closed.append(name)  # it was accepted, but had sent no request when its server was replaced
                else:
                    acknowledged.append(name)
        except BaseException as error:
            problems.append(error)

    workers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for worker in workers:
        worker.start()
    try:
        for _ in range(5):
            replace_certificate(server, volume)
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert not problems
    assert len(closed) <= 15, "each worker has one connection, and the server is replaced five times"
    assert acknowledged
    found = {item["metadata"]["name"] for item in server.get(PATH, context=trust).json["items"]}
    assert set(acknowledged) <= found


def test_an_http2_connection_is_told_to_go_when_the_certificate_is_replaced(
    server: RunningServer, volume: SecretVolume
) -> None:
    authority = server.process.configuration.data_directory / "mine.crt"
    authority.write_bytes(AUTHORITY.certificate)
    with Http2Connection("127.0.0.1", server.port, authority) as connection:
        assert connection.answer(connection.request("GET", "/livez")).status == 200
        volume.publish(issued())
        reload(server)
        with pytest.raises(ConnectionEndedError):
            read_all(connection)


def read_all(connection: Http2Connection) -> None:
    while True:
        connection.read()


def test_files_that_do_not_fit_together_leave_the_certificate_in_force(
    server: RunningServer, volume: SecretVolume, trust: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    before = shown(server.port)
    pair = issued()
    certificate, key = volume.certificate, volume.key
    written_in_place(certificate, pair.certificate)
    reload(server)
    assert f"the key in {key} is not that of the certificate in {certificate}" in caplog.text
    assert shown(server.port) == before
    written_in_place(key, b"-----BEGIN PRIVATE KEY-----\n")
    reload(server)
    assert f"--tls-private-key-file: {key} holds no unencrypted private key" in caplog.text
    key.unlink()
    reload(server)
    assert f"cannot read {key}: No such file or directory" in caplog.text
    assert pair.key.decode() not in caplog.text
    assert shown(server.port) == before
    assert server.get("/version", context=trust).status == 200
    written_in_place(key, pair.key)
    reload(server)
    wait_until(lambda: shown(server.port) == der(pair), "the new certificate is served")


def written_in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def test_unchanged_certificates_do_not_disturb_connections(
    server: RunningServer, volume: SecretVolume, trust: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kcp.server")
    with contextlib.closing(server.connect(trust)) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok"
        server.call(server.process.files.reload)
        assert f"reloaded {volume.certificate}" in caplog.text
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b"ok"
    assert "the serving certificate expires" not in caplog.text


def test_a_client_authority_that_is_added_is_trusted_without_a_restart(fresh_root: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "clients.crt"
    bundle.write_bytes(certificates.new_authority("other").certificate)
    joe = certificates.new_client_identity(AUTHORITY, "joe", ())
    (tmp_path / "joe.pem").write_bytes(joe.certificate + joe.key)
    with RunningServer(fresh_root, client_ca_file=bundle) as server:
        context = ssl.create_default_context(cafile=str(fresh_root / "data" / "ca.crt"))
        context.load_cert_chain(tmp_path / "joe.pem")

        def status() -> int:
            try:
                return server.get("/api", token=None, context=context).status
            except (OSError, http.client.HTTPException):
                return 0

        assert status() == 0, "the TLS layer ends the handshake"
        bundle.write_bytes(AUTHORITY.certificate)
        reload(server)
        wait_until(lambda: status() == 200, "the certificate is accepted")


def test_certificates_of_its_own_are_renewed_while_the_server_runs(
    fresh_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunningServer(fresh_root) as server:
        data, before = fresh_root / "data", shown(server.port)
        administrator = (data / "admin.crt").read_bytes()
        found = server.process.certificates
        assert found is not None
        later = dt.datetime.now(dt.UTC) + dt.timedelta(days=244)
        found.now = lambda: later
        server.submit(found.renew()).result(PATIENCE)
        wait_until(lambda: shown(server.port) != before, "the renewed certificate is served")
        renewed = x509.load_der_x509_certificate(shown(server.port))
        assert renewed.not_valid_after_utc == later.replace(microsecond=0) + dt.timedelta(days=365)
        pem = ssl.DER_cert_to_PEM_cert(shown(server.port)).encode()
        assert certificates.is_signed_by(pem, (data / "ca.crt").read_bytes()), "clients trust it as before"
        assert (data / "admin.crt").read_bytes() != administrator
        expires = renewed.not_valid_after_utc.timestamp()
        wait_until(lambda: expiration_metric(server) == expires, "the metric follows")
        now = shown(server.port)
        server.submit(found.renew()).result(PATIENCE)
        assert shown(server.port) == now, "once is enough"


def test_a_renewal_that_fails_is_logged_once_and_tried_again(
    fresh_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RunningServer(fresh_root) as server:
        data, before = fresh_root / "data", shown(server.port)
        found = server.process.certificates
        assert found is not None
        found.now = lambda: dt.datetime.now(dt.UTC) + dt.timedelta(days=244)
        (data / "ca.key").rename(data / "elsewhere")
        for _ in range(2):
            server.submit(found.renew()).result(PATIENCE)
        assert len([record for record in caplog.records if "cannot renew" in record.message]) == 1
        assert shown(server.port) == before
        (data / "elsewhere").rename(data / "ca.key")
        server.submit(found.renew()).result(PATIENCE)
        wait_until(lambda: shown(server.port) != before, "the renewed certificate is served")


def test_sighup_takes_up_a_new_certificate_at_once(tmp_path: Path, volume: SecretVolume) -> None:
    arguments = ["--tls-cert-file", str(volume.certificate), "--tls-private-key-file", str(volume.key)]
    root = tmp_path / "root"
    root.mkdir()
    with Server(root_directory=root, in_process=False, arguments=arguments) as server:
        port, pair = int(server.url.rpartition(":")[2]), issued()
        volume.publish(pair)
        os.kill(server.process_id, signal.SIGHUP)
        wait_until(lambda: shown(port) == der(pair), "the new certificate is served")


def test_a_watch_that_begins_on_a_server_just_after_its_replacement_does_not_delay_the_next_one(
    server: RunningServer, volume: SecretVolume, trust: ssl.SSLContext
) -> None:
    with contextlib.closing(server.connect(trust)) as watcher:
        watcher.request("GET", PATH + "?watch=true&timeoutSeconds=3600", headers=server.headers())
        events = watcher.getresponse()
        replace_certificate(server, volume)
        assert server.process.http is not None
        replaced = server.process.http._retired
        assert replaced is not None, "the watch goes on"
        replaced.replaced_at -= 1.0
        replace_certificate(server, volume)
        assert events.read() == b"", "the watch has ended"


def test_a_kubeconfig_that_cannot_be_written_is_logged_and_certificates_are_still_followed(
    server: RunningServer, volume: SecretVolume, caplog: pytest.LogCaptureFixture
) -> None:
    kubeconfig = server.process.kubeconfig
    kubeconfig.unlink()
    kubeconfig.mkdir()
    for _ in range(2):
        replace_certificate(server, volume)
    assert "but not in the administrator's kubeconfig" in caplog.text


def test_certificates_that_could_not_be_used_are_tried_again(
    server: RunningServer, volume: SecretVolume, caplog: pytest.LogCaptureFixture
) -> None:
    assert server.process.identity is not None
    assert server.process.certificates is not None
    bundle, before = server.process.identity.client_authorities, shown(server.port)
    bundle.unlink()
    bundle.mkdir()
    pair = issued()
    volume.publish(pair)
    reload(server)
    following = server.submit(server.process.certificates.follow(0.01))
    wait_until(lambda: "the previous ones stay in force" in caplog.text, "the failure is logged")
    assert shown(server.port) == before
    bundle.rmdir()
    wait_until(lambda: shown(server.port) == der(pair), "the new certificate is served")
    following.cancel()
    assert caplog.text.count("the previous ones stay in force") == 1, "it is tried many times, and logged once"


async def test_a_server_that_stops_while_its_certificates_are_replaced_logs_no_error(
    fresh_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        process = ServerProcess(Configuration(root_directory=fresh_root, secure_port=0))
        await process.start()
        assert process.http is not None
        replacing = asyncio.create_task(process.http.replace())
        await asyncio.sleep(0)
        replacing.cancel()
        await asyncio.wait((replacing,))
        await process.stop()
    gc.collect()
    await asyncio.sleep(0)
    assert not [record for record in caplog.records if HELD not in record.getMessage()]
