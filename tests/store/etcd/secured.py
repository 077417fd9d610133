"""etcd over TLS, with users that have client certificates or passwords."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple, Self

from devtools.etcd import API, EtcdCluster, binary
from kcp.auth import certificates
from kcp.auth.certificates import KeyPair
from tests.support.waiting import wait_until

PREFIX = "/kcp/"
"""Below which the user ``kcp`` may read and write."""


class Authority(NamedTuple):
    """A CA, and the file with its certificate."""

    pair: KeyPair
    file: Path


def written(folder: Path, name: str, pair: KeyPair) -> tuple[Path, Path]:
    """A certificate and its key in files."""
    paths = folder / f"{name}.crt", folder / f"{name}.key"
    for path, content in zip(paths, (pair.certificate, pair.key), strict=True):
        path.write_bytes(content)
    return paths


class SecuredEtcd(EtcdCluster):
    """One member behind TLS; it asks for client certificates unless told otherwise. All files are in ``folder``."""

    def __init__(self, folder: Path, *, client_certificates: bool = True, listen: str = "127.0.0.1") -> None:
        self._folder = folder
        self._authority = certificates.new_authority("etcd-ca")
        self.authority_file, _ = written(folder, "ca", self._authority)
        names = ["127.0.0.1", "localhost"]
        serving = written(folder, "serving", certificates.new_serving_identity(self._authority, "etcd", names))
        extra = ["--cert-file", str(serving[0]), "--key-file", str(serving[1])]
        if client_certificates:
            extra += ["--client-cert-auth", "--trusted-ca-file", str(self.authority_file)]
        super().__init__(folder, 1, extra, scheme="https", listen=listen)

    @staticmethod
    def another_authority(folder: Path) -> Authority:
        """Create a CA that the cluster does not know."""
        pair = certificates.new_authority("another")
        return Authority(pair, written(folder, "another", pair)[0])

    def identity(self, name: str, authority: Authority | None = None) -> tuple[Path, Path]:
        """A client's certificate and key, signed by the cluster's authority or another one."""
        signer = self._authority if authority is None else authority.pair
        return written(self._folder, name, certificates.new_client_identity(signer, name, ()))

    def require_users(self, password: str | None) -> None:
        """Switch authentication on: ``root``, and ``kcp`` with rights below the prefix; None: certificates name them."""
        said = [f":{password}"] if password is not None else []
        for words in (
            *(("user", "add", name + "".join(said), *(() if said else ("--no-password",))) for name in ("root", "kcp")),
            ("user", "grant-role", "root", "root"),
            ("role", "add", "kcp"),
            ("role", "grant-permission", "kcp", "--prefix=true", "readwrite", PREFIX),
            ("user", "grant-role", "kcp", "kcp"),
            ("auth", "enable"),
        ):
            self.control(*words)

    def control(self, *words: str) -> str:
        """Run etcdctl as ``root``, before authentication is on or where certificates name users; return its output."""
        done = self._control(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _control(self, *words: str) -> subprocess.CompletedProcess[str]:
        program = binary("etcdctl")
        assert program is not None
        certificate, key = self.identity("root")
        command = [program, "--endpoints", self.urls[0], "--cacert", str(self.authority_file)]
        command += ["--cert", str(certificate), "--key", str(key), *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=API)

    def __enter__(self) -> Self:
        super().__enter__()
        wait_until(lambda: self._control("endpoint", "health").returncode == 0, "etcd serves")
        return self
