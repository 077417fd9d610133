"""The Pod of a syncer as a process: with the files that a kubelet mounts and refreshes, and with its service account."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from devtools.ports import free_ports
from kcp.client import APIResource, Client, NotFoundError
from kcp.multicluster.clusters.api import SECRETS
from tests.clients.pods import Pod

SERVICE_ACCOUNTS: Final = APIResource("", "v1", "serviceaccounts", "ServiceAccount")
_MOUNT: Final = "/kcp"
_LISTEN: Final = "--listen="


class SyncerPod:
    """A syncer as the Deployment that was installed in a cluster says. ``metrics`` is the port of its metrics and its health."""

    def __init__(self, client: Client, port: int, trust: str, folder: Path, prefix: Sequence[str] = ()) -> None:
        """``client`` is one of the administrator, as kubelets have; ``port`` and ``trust`` are those of the API server.

        ``prefix`` is that of the command of the process.
        """
        self._client = client
        self._port = port
        self._trust = trust
        self._folder = folder
        self._prefix = prefix
        self._mounted = folder / "kcp"
        self._process: subprocess.Popen[bytes] | None = None
        (self.metrics,) = free_ports(1)

    @property
    def log(self) -> Path:
        """The log of the container."""
        return self._folder / "syncer.log"

    @property
    def has_ended(self) -> bool:
        """Whether the container does not run."""
        return self._process is None or self._process.poll() is not None

    async def start(self, namespace: str, spec: dict[str, Any], about: dict[str, Any] | None = None) -> None:
        """Run the container of a Pod's specification. ``about`` is the Pod that the token of the account is bound to."""
        self._namespace, self._spec = namespace, spec
        if not self._mounted.is_dir():
            self._mounted.mkdir(parents=True)
        await self.refresh()
        account = spec["serviceAccountName"]
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {} if about is None else {"boundObjectRef": about},
        }
        accounts = self._client.resource(SERVICE_ACCOUNTS, namespace)
        token = (await accounts.create(request, name=account, subresource="token"))["status"]["token"]
        home = self._folder / f"home-{token[-8:]}"
        home.mkdir()
        pod = Pod.made(home, self._port, token, self._trust, namespace)
        python_path = f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}"
        command = ("env", python_path, *self._prefix, sys.executable, "-m", "kcp", *self._arguments())
        self._process = pod.start(self.log, *command)

    def _arguments(self) -> list[str]:
        """The arguments of the container, with the folder and the port that it has on this machine."""
        (container,) = self._spec["containers"]
        found = []
        for argument in container["args"]:
            if argument.startswith(_LISTEN):
                found.append(f"{_LISTEN}127.0.0.1:{self.metrics}")
            else:
                found.append(argument.replace(f"={_MOUNT}/", f"={self._mounted}/"))
        return found

    async def refresh(self) -> None:
        """Write the files of the Secret, if they have changed."""
        (volume,) = [each for each in self._spec["volumes"] if "secret" in each]
        try:
            secret = await self._client.resource(SECRETS, self._namespace).get(volume["secret"]["secretName"])
        except NotFoundError:
            return
        for name, value in secret["data"].items():
            content, file = base64.b64decode(value), self._mounted / name
            if not file.exists() or file.read_bytes() != content:
                new = self._mounted / f".{name}"
                new.write_bytes(content)
                new.replace(file)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop the container, or kill it with SIGKILL."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None
