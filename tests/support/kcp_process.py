"""``kcp`` as its users run it, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import PATIENCE

_READY = re.compile(r"ready at (https://\S+)")


def run(*arguments: str, cwd: Path | None = None, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "kcp", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=cwd)


@dataclass
class Started:
    """A server that has reported that it is ready."""

    process: subprocess.Popen[str]
    url: str
    said: list[str]
    root: Path

    def get(self, path: str, token: str | None = None) -> bytes:
        """Send one request as the administrator."""
        token = token or (self.root / "data" / "admin.token").read_text()
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {token}"})
        trust = ssl.create_default_context(cafile=str(self.root / "data" / "ca.crt"))
        with urllib.request.urlopen(request, context=trust, timeout=PATIENCE) as answer:
            body: bytes = answer.read()
            return body

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Stop the server; return the exit code and its output on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


@contextlib.contextmanager
def started(
    root: Path, *arguments: str, cwd: Path | None = None, files: int = 0, megabytes: int = 0
) -> Iterator[Started]:
    """Run ``kcp start``; ``files`` limits its open files, ``megabytes`` its address space, by default to the machine's limits."""
    limits = [f"ulimit {option} {limit} && " for option, limit in (("-n", files), ("-v", megabytes << 10)) if limit]
    limit = ["bash", "-c", f'{"".join(limits)}exec "$@"', "bash"] if limits else []
    command = [
        *limit,
        sys.executable,
        "-m",
        "kcp",
        "start",
        "--root-directory",
        str(root),
        "--secure-port",
        "0",
        *arguments,
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd, env=environment) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            while not any("export KUBECONFIG" in line for line in said):
                line = process.stdout.readline()
                assert line, process.stderr.read() if process.stderr else "it ended"
                said.append(line)
            found = _READY.search("".join(said))
            assert found is not None, said
            yield Started(process, found[1], said, root if cwd is None else cwd / root)
        finally:
            if process.poll() is None:
                process.kill()
