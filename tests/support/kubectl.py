"""The kubectl of a user: a program, a kubeconfig and a home directory."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support.waiting import PATIENCE, wait_until

CURRENT = Path(sys.executable).with_name("kubectl")
"""The program of the test requirements."""
WITH_PATIENCE = f"--timeout={PATIENCE:.0f}s"
"""The flag of commands that wait."""


def patient(script: str) -> str:
    """Return commands of a page whose waits last as long as those of tests; kubectl gives up after 30 s by itself."""
    return script.replace("kubectl wait ", f"kubectl wait {WITH_PATIENCE} ")


@dataclass
class Kubectl:
    """One kubectl in one context."""

    binary: Path
    kubeconfig: Path
    home: Path
    old: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run to the end, whatever the exit code."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), **self.environment}
        command = [str(self.binary), *arguments]
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=environment, check=False, timeout=PATIENCE
        )

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run with success; return the output."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fails(self, *arguments: str, stdin: str | None = None) -> str:
        """Run without success; return the message."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode != 0, f"kubectl {' '.join(arguments)} succeeded:\n{done.stdout}"
        return done.stderr

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start without waiting for the end."""
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), **self.environment}
        command = [str(self.binary), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def established(self, *definitions: str) -> None:
        """Wait until the types of definitions are served."""
        names = [f"crd/{name}" for name in definitions]
        self("wait", "--for=condition=Established", *names, WITH_PATIENCE)

    def vanishes(self, kind: str, name: str) -> None:
        """Wait until an object does not exist any more."""
        wait_until(lambda: "NotFound" in self.run("get", kind, name).stderr, f"{kind} {name} is gone")

    def object(self, *arguments: str) -> dict[str, object]:
        """Return the object of `get ... -o yaml`."""
        read = yaml.safe_load(self("get", *arguments, "-o", "yaml"))
        assert isinstance(read, dict)
        return read
