"""A Kubernetes cluster without containers: the processes of its control plane, and stand-ins for its kubelets."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from devtools.ports import free_ports
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.waiting import PATIENCE, wait_until

CHOSEN: Final = "KCP_TEST_KUBERNETES"
"""The variable that names the folder with the programs."""
PROGRAMS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
SYNCER_IMAGE: Final = "example.com/kcp:test"
"""The image whose containers the kubelets run, as processes. Those of others are ready at once."""
_TOKEN: Final = "administrator"
_ISSUER: Final = "https://kubernetes.default.svc"


def missing() -> str:
    """Return why there are no programs; empty if there are."""
    folder = os.environ.get(CHOSEN)
    if not folder:
        return f"{CHOSEN} names no folder with {', '.join(PROGRAMS)} (contrib/kubernetes/build builds them)"
    for name in PROGRAMS:
        assert os.access(Path(folder, name), os.X_OK), f"{CHOSEN} is {folder}, where there is no {name}"
    return ""


class KubernetesCluster:
    """A cluster: `start`, then `ready`, at last `stop`. All files are in its directory."""

    def __init__(self, name: str, directory: Path, etcd: str) -> None:
        """``etcd`` is the URL of an etcd, in which the cluster has keys of its own."""
        self.name = name
        self.directory = directory
        self.kubeconfig = directory / "admin.kubeconfig"
        self._etcd = etcd
        (self.port,) = free_ports(1)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start the API server."""
        self.directory.mkdir()
        command = ["openssl", "genrsa", "-out", str(self.directory / "accounts.key"), "2048"]
        subprocess.run(command, check=True, capture_output=True)
        (self.directory / "tokens.csv").write_text(f'{_TOKEN},admin,1,"system:masters"\n')
        self.start_api_server()

    def start_api_server(self) -> None:
        """Start the API server on its keys in etcd, as at first or after `kill_api_server`."""
        key = self.directory / "accounts.key"
        flags = {
            "etcd-servers": self._etcd,
            "etcd-prefix": f"/{self.name}",
            "cert-dir": self.directory,
            "bind-address": "127.0.0.1",
            "secure-port": self.port,
            "token-auth-file": self.directory / "tokens.csv",
            "authorization-mode": "Node,RBAC",
            "service-account-issuer": _ISSUER,
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-cluster-ip-range": "10.96.0.0/16",
            "endpoint-reconciler-type": "none",
        }
        self._run("kube-apiserver", flags)

    def kill_api_server(self) -> None:
        """Kill the API server beneath all that uses it."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait()

    def ready(self) -> None:
        """Wait until the API server is ready, start the rest, and wait until Pods can run."""
        certificate = self.directory / "apiserver.crt"
        wait_until(lambda: self._lives() and certificate.exists(), "the API server has a certificate")
        self._write_kubeconfig(certificate)
        kubectl = self.kubectl(self.directory)
        wait_until(lambda: self._lives() and kubectl.run("get", "--raw", "/readyz").stdout == "ok", "it is ready")
        common = {"kubeconfig": self.kubeconfig, "leader-elect": "false", "secure-port": 0}
        account = {"service-account-private-key-file": self.directory / "accounts.key", "root-ca-file": certificate}
        self._run("kube-controller-manager", {**common, **account})
        self._run("kube-scheduler", common)
        folder = self.directory / "kubelets"
        folder.mkdir()
        command = [sys.executable, "-m", "tests.multicluster.real.kubelets", self.kubeconfig, folder, self.name]
        self._start("kubelets", command)
        wait_until(lambda: self._lives() and self._takes_pods(kubectl), f"{self.name} takes Pods")

    def _takes_pods(self, kubectl: Kubectl) -> bool:
        nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
        untainted = any(not node["spec"].get("taints") for node in nodes)
        return untainted and kubectl.run("get", "serviceaccount", "default").returncode == 0

    def _lives(self) -> bool:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} has ended: {self.log(name)[-2000:]}"
        return True

    def log(self, name: str) -> str:
        """The log of a process."""
        return (self.directory / f"{name}.log").read_text()

    def kubectl(self, home: Path) -> Kubectl:
        """A kubectl of the administrator, with a directory of its own."""
        return Kubectl(CURRENT, self.kubeconfig, home)

    def stop(self) -> None:
        """Stop the kubelets, which stop what runs in Pods, and kill the rest."""
        for name, process in self._processes.items():
            process.send_signal(signal.SIGTERM if name == "kubelets" else signal.SIGKILL)
        for process in self._processes.values():
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
        self._processes.clear()

    def _run(self, program: str, flags: Mapping[str, object]) -> None:
        found = Path(os.environ[CHOSEN], program).absolute()
        self._start(program, [found, *(f"--{name}={value}" for name, value in flags.items())])

    def _start(self, name: str, command: list[object]) -> None:
        with (self.directory / f"{name}.log").open("a") as log:
            words = [str(word) for word in command]
            self._processes[name] = subprocess.Popen(words, stdout=log, stderr=log)

    def _write_kubeconfig(self, certificate: Path) -> None:
        trust = base64.b64encode(certificate.read_bytes()).decode()
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority-data": trust}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": _TOKEN}}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": "admin"}}],
            "current-context": self.name,
        }
        self.kubeconfig.touch(0o600)
        self.kubeconfig.write_text(yaml.safe_dump(content))
