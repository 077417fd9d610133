"""Servers in network namespaces of their own, whose connections can be cut one by one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

import pytest

_MISSING: Final = "root, ip netns and iptables are needed to cut networks"
_ESTABLISHED: Final = "01"


class Host:
    """A network namespace with one link to the machine's own, between ``__enter__`` and ``__exit__``.

    Skips the test where it cannot be made.
    """

    def __init__(self, number: int) -> None:
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("iptables"):
            pytest.skip(_MISSING)
        process = os.getpid()
        self.name = f"kcp{process}-{number}"
        network = f"10.{128 + process // 256 % 128}.{process % 256}.{4 * number}"
        start, last = network.rsplit(".", 1)
        self.outside = f"{start}.{int(last) + 1}"
        """The machine's address, as this host sees it."""
        self.address = f"{start}.{int(last) + 2}"

    @property
    def prefix(self) -> list[str]:
        """The prefix of a command whose process is to run on this host."""
        return ["ip", "netns", "exec", self.name]

    def drop(self, ports: Iterable[int], *, requests: bool = True, answers: bool = True) -> None:
        """Drop packets to those ports, from them, or both, without a reply."""
        for port in ports:
            if requests:
                self._run(*self.prefix, "iptables", "-A", "OUTPUT", "-p", "tcp", "--dport", str(port), "-j", "DROP")
            if answers:
                self._run(*self.prefix, "iptables", "-A", "INPUT", "-p", "tcp", "--sport", str(port), "-j", "DROP")

    def mend(self) -> None:
        """Drop nothing any more."""
        self._run(*self.prefix, "iptables", "-F")

    @staticmethod
    def connected_to(process: int, ports: Iterable[int]) -> set[int]:
        """The remote ports that a process on this host has connections to."""
        found = set()
        for table in ("tcp", "tcp6"):  # gRPC makes all its sockets for IPv6
            for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
                _, _, remote, state, *_ = line.split()
                if state == _ESTABLISHED:
                    found.add(int(remote.partition(":")[2], 16))
        return found & set(ports)

    def __enter__(self) -> Self:
        try:
            self._run("ip", "netns", "add", self.name)
            inside, outside = f"{self.name}i", f"{self.name}o"
            self._run("ip", "link", "add", outside, "type", "veth", "peer", "name", inside)
            self._run("ip", "link", "set", inside, "netns", self.name)
            self._run("ip", "addr", "add", f"{self.outside}/30", "dev", outside)
            self._run("ip", "link", "set", outside, "up")
            self._run(*self.prefix, "ip", "addr", "add", f"{self.address}/30", "dev", inside)
            self._run(*self.prefix, "ip", "link", "set", inside, "up")
            self._run(*self.prefix, "ip", "link", "set", "lo", "up")
            self.mend()
        except subprocess.CalledProcessError as error:
            self.__exit__()
            pytest.skip(f"{_MISSING}: {error.stderr.strip()}")
        return self

    def __exit__(self, *_: object) -> None:
        # the link is removed with the namespace, but only after its last process has been reaped
        subprocess.run(["ip", "link", "del", f"{self.name}o"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)

    @staticmethod
    def _run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, text=True)
