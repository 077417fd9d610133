"""The audit log: what is written where, rotation, files that cannot be written, and modes."""

from __future__ import annotations

import gzip
import json
import logging
import os
import resource
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kcp.server.audit.log_file import LogFile
from kcp.server.audit.options import AuditOptions
from kcp.server.process.errors import ConfigurationError
from tests.audit.audited_server import EVERYTHING, audited, policy_text
from tests.audit.test_events import metrics_of
from tests.support.kcp_process import started
from tests.support.objects import config_map
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

MAPS = "/api/v1/namespaces/default/configmaps"
LINE = b"x" * 99 + b"\n"


def log_file(path: Path, **limits: Any) -> LogFile:
    file = LogFile(path, **{"max_bytes": 1000, "max_age_days": 0, "max_backups": 0, "compress": False, **limits})
    file.open()
    return file


def rotated(path: Path) -> list[Path]:
    return sorted(found for found in path.parent.iterdir() if found != path)


def test_a_file_is_rotated_when_it_is_full_and_no_line_is_split_or_lost(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = log_file(path)
    for count in (3, 9, 25, 1):
        file.write([LINE] * count)
    file.finish()
    files = [*rotated(path), path]
    assert sum(found.read_bytes().count(LINE) for found in files) == 38
    assert all(found.stat().st_size <= 1000 and found.read_bytes().endswith(b"\n") for found in files)
    assert all(found.stat().st_mode & 0o777 == 0o600 for found in files)
    assert all(found.name.startswith("audit-20") and found.suffix == ".log" for found in rotated(path))


def test_a_line_that_exceeds_the_size_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = log_file(path, max_bytes=150)
    file.write([LINE, b"y" * 400 + b"\n", LINE])
    file.finish()
    assert [found.stat().st_size for found in (*rotated(path), path)] == [100, 401, 100]


def test_only_so_many_rotated_files_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = log_file(path, max_backups=2)
    other = tmp_path / "audit-notes.log"
    other.write_text("not ours")
    for _ in range(6):
        file.write([LINE] * 8)
    file.finish()
    wait_until(lambda: len(rotated(path)) == 3, "two rotated files are left")
    assert other.exists()


def test_old_rotated_files_are_removed_and_others_compressed(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    old, recent = tmp_path / "audit-2020-01-01T00-00-00.000.log", tmp_path / "audit-2999-01-01T00-00-00.000.log"
    for found in (old, recent):
        found.write_bytes(LINE)
    file = log_file(path, max_age_days=7, compress=True)
    packed = recent.with_name(f"{recent.name}.gz")
    wait_until(lambda: not recent.exists(), "the file is compressed")
    file.finish()
    assert not old.exists()
    assert gzip.decompress(packed.read_bytes()) == LINE
    assert packed.stat().st_mode & 0o777 == 0o600


def test_a_file_that_another_program_has_renamed_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.log"
    file = log_file(path)
    file.write([LINE])
    path.rename(tmp_path / "moved.log")
    monkeypatch.setattr("kcp.server.audit.log_file._CHECKED_EVERY", 0.0)
    file.write([LINE])
    file.finish()
    assert path.read_bytes() == LINE
    assert (tmp_path / "moved.log").read_bytes() == LINE


@pytest.fixture
def full_after() -> Iterator[Any]:
    """Limit the size of the files of this process: a write beyond it fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_write_that_fails_half_way_leaves_whole_lines(tmp_path: Path, full_after: Any) -> None:
    path = tmp_path / "audit.log"
    file = log_file(path)
    file.write([LINE] * 2)
    full_after(250)
    with pytest.raises(OSError, match="File too large"):
        file.write([LINE] * 2)
    full_after(1000)
    file.write([LINE])
    file.finish()
    assert path.read_bytes() == LINE * 3


@pytest.mark.parametrize("path", ["/proc/nowhere/audit.log", "/sys"])
def test_a_file_that_cannot_be_written_ends_the_start(tmp_path: Path, path: str) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text(EVERYTHING))
    with pytest.raises(ConfigurationError, match=f"--audit-log-path: cannot write to {path}: "):
        RunningServer(tmp_path / ".kcp", audit=AuditOptions(policy_file=policy, log_path=Path(path)))


def test_a_second_server_cannot_write_the_same_file(tmp_path: Path) -> None:
    with (
        audited(tmp_path / "one", EVERYTHING) as first,
        pytest.raises(ConfigurationError, match="another server writes this file"),
        audited(tmp_path / "two", EVERYTHING, log=first.log),
    ):
        pass


@pytest.mark.parametrize(("mode", "status"), [("batch", 200), ("blocking", 200), ("blocking-strict", 500)])
def test_a_file_that_cannot_be_written_any_more_is_logged_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, status: int
) -> None:
    with audited(tmp_path, EVERYTHING, log_mode=mode) as server:
        backend_file = log_file_of(server.running)
        server.running.call(break_file, backend_file)
        for _ in range(3):
            assert server.running.get("/version").status == status
        wait_until(lambda: [record for record in caplog.records if "audit log" in record.message], "the log line")
        assert len([record for record in caplog.records if "events are lost" in record.message]) == 1
        wait_until(lambda: errors_of(server.running) >= 3, "the events of all three requests are lost")
        server.running.call(mend_file, backend_file)
        assert server.running.get("/version", Audit_ID="after").status == 200
        server.complete("after")
        counts = metrics_of(server.running)
        assert counts['apiserver_audit_error_total{plugin="log"}'] >= 3
        assert (counts["apiserver_audit_requests_rejected_total"] == 3) == (mode == "blocking-strict")


def errors_of(server: Any) -> int:
    """How many events were not written, without a request, which would have events too."""
    errors: dict[str, int] = server.process.composition.audit_trail._metrics.errors
    return errors["log"]


def log_file_of(server: Any) -> LogFile:
    trail = server.process.composition.audit_trail
    (backend,) = trail._backends
    found: LogFile = backend._file
    return found


def break_file(file: LogFile) -> None:
    """Put a descriptor in place of the file's that cannot be written."""
    broken = os.open("/dev/full", os.O_WRONLY)
    os.dup2(broken, file._file)
    os.close(broken)


def mend_file(file: LogFile) -> None:
    assert file._path is not None
    again = os.open(file._path, os.O_WRONLY | os.O_APPEND)
    os.dup2(again, file._file)
    os.close(again)


def test_requests_do_not_wait_for_a_buffer_that_is_full(tmp_path: Path) -> None:
    pipe = tmp_path / "audit.log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # nobody reads: the pipe takes some kilobytes
    try:
        with audited(tmp_path, EVERYTHING, log_mode="batch", log_batch_buffer_size=3) as server:
            for _ in range(200):
                assert server.running.get("/version").status == 200
            assert metrics_of(server.running)['apiserver_audit_error_total{plugin="log"}'] > 100
            draining = threading.Thread(target=drain, args=(reader,))
            draining.start()
        draining.join()
    finally:
        os.close(reader)


def drain(reader: int) -> None:
    os.set_blocking(reader, True)
    while os.read(reader, 65536):
        pass


def test_a_blocking_log_has_the_event_before_the_request_is_served(tmp_path: Path) -> None:
    with audited(tmp_path, EVERYTHING, log_mode="blocking-strict") as server:
        for number in range(20):
            server.running.get("/version", Audit_ID=f"request-{number}")
            assert [event["stage"] for event in server.events(f"request-{number}")][:1] == ["RequestReceived"]


def test_the_events_are_written_before_the_server_has_stopped(tmp_path: Path) -> None:
    with audited(tmp_path, EVERYTHING, log_mode="batch") as server:
        for number in range(50):
            server.running.post(MAPS, config_map(f"m-{number}"), Audit_ID=f"create-{number}")
    complete = [event for event in server.events() if event["stage"] == "ResponseComplete"]
    assert {f"create-{number}" for number in range(50)} <= {event["auditID"] for event in complete}


def test_events_go_to_the_standard_output(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text({"rules": [{"level": "Metadata", "nonResourceURLs": ["/version"]}]}))
    arguments = ("--audit-policy-file", str(policy), "--audit-log-path", "-")
    with started(tmp_path / "root", *arguments) as server:
        server.get("/version")
        assert server.process.stdout is not None
        line = server.process.stdout.readline()
        while not line.startswith("{"):
            line = server.process.stdout.readline()
        assert json.loads(line)["requestURI"] == "/version"


def test_large_events_are_truncated(tmp_path: Path) -> None:
    with audited(tmp_path, EVERYTHING, log_truncate_enabled=True, log_truncate_max_event_size=5000) as server:
        server.running.post(MAPS, config_map("small"), Audit_ID="small")
        server.running.post(MAPS, config_map("large", a="x" * 10_000), Audit_ID="large")
        assert "requestObject" in server.complete("small")
        complete = server.complete("large")
        assert not {"requestObject", "responseObject"} & set(complete)
        assert complete["annotations"]["audit.k8s.io/truncated"] == "true"
        assert complete["objectRef"]["name"] == "large"


def test_a_server_goes_on_in_a_new_file_after_its_log_was_moved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kcp.audit")
    with audited(tmp_path, EVERYTHING) as server:
        server.running.get("/version", Audit_ID="before")
        server.complete("before")
        moved = tmp_path / "audit.log.1"
        subprocess.run(["mv", server.log, moved], check=True)

        def again() -> bool:
            server.running.get("/version", Audit_ID="after")
            return server.log.exists()

        wait_until(again, "the log is opened again")
        server.running.get("/version", Audit_ID="last")
        server.complete("last")
        assert "before" in moved.read_text()
