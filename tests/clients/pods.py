"""Programs as in a Pod: with a mounted token, CA certificate and namespace, and the server's address in the environment.

Clients have the path of the mounted files built in. A mount namespace gives each program a /var/run of its own; without one, the
tests are skipped.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.waiting import PATIENCE

_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_ISOLATED: Final = ("unshare", "--map-root-user", "--mount", "--", "sh", "-c")
_MOUNTED: Final = f'mount -t tmpfs tmpfs /var/run && mkdir -p {_PATH} && mount --bind "$0" {_PATH} && exec "$@"'


@functools.cache
def missing() -> str:
    """Return why programs cannot run like this on this machine, or nothing."""
    if shutil.which("unshare") is None:
        return "mount namespaces need unshare (util-linux)"
    tried = subprocess.run([*_ISOLATED, "mount -t tmpfs tmpfs /var/run"], capture_output=True, text=True, check=False)
    return f"mount namespaces are not allowed here: {tried.stderr.strip()}" if tried.returncode else ""


@dataclass(frozen=True)
class Pod:
    """The files and the environment of programs that run as one service account."""

    home: Path
    port: int

    @classmethod
    def made(cls, home: Path, port: int, token: str, trust: str, namespace: str) -> Pod:
        """Write the files that a kubelet mounts; ``home`` is an empty directory."""
        mounted = home / "serviceaccount"
        mounted.mkdir()
        for name, content in (("token", token), ("ca.crt", trust), ("namespace", namespace)):
            (mounted / name).write_text(content)
        return cls(home, port)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a program to its end."""
        return subprocess.run(
            self._command(command),
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def succeeds(self, *command: str | Path) -> str:
        """Run a program with success; return its output."""
        done = self.run(*command)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *command: str | Path) -> str:
        """Run a program without success; return what it wrote to stderr, with plain quotation marks."""
        done = self.run(*command)
        assert done.returncode != 0, f"it succeeded:\n{done.stdout}\n{done.stderr}"
        return done.stderr.replace('\\"', '"')

    def start(self, log: Path, *command: str | Path) -> subprocess.Popen[bytes]:
        """Start a program that writes into a log."""
        with log.open("w") as said:
            return subprocess.Popen(self._command(command), env=self._environment, stdout=said, stderr=said)

    def _command(self, command: tuple[str | Path, ...]) -> list[str]:
        return [*_ISOLATED, _MOUNTED, str(self.home / "serviceaccount"), *map(str, command)]

    @property
    def _environment(self) -> dict[str, str]:
        """No kubeconfig, and nothing else that names a server but the variables of a Pod."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(self.port),
        }
