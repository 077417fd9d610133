"""Exec plugins: programs that print credentials (client.authentication.k8s.io, KEP-541).

A plugin runs when its credential is first needed, and again when it has expired or the server has rejected it. Requests that
need it meanwhile wait for one run. Its standard error reaches the user; its standard output is never shown.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from kcp.api.times import parse_time
from kcp.client.credentials.contract import ClientCertificate, Credential, bearer
from kcp.client.errors import CredentialsError

_TIMEOUT: Final = 120.0
"""Maximum seconds of a run. A plugin may ask for a password or wait for a browser."""
_INFO_VARIABLE: Final = "KUBERNETES_EXEC_INFO"
_MAX_OUTPUT: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ExecConfiguration:
    """How to run a plugin: the entry ``exec`` of a kubeconfig's user."""

    api_version: str
    command: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = "IfAvailable"


class _Run(asyncio.SubprocessProtocol):
    """One run of a plugin, and what it has printed.

    Not that of `asyncio.subprocess`, which waits for the end of the output also after the end of the process: a child of the
    plugin may keep it open, and what nobody reads may be in the way of it.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.output = bytearray()
        self.too_much: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - there is one pipe
        if len(self.output) + len(data) <= _MAX_OUTPUT:
            self.output += data
        elif not self.too_much.done():
            self.too_much.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as every protocol
        """The process has ended, and its output too."""
        if not self.ended.done():
            self.ended.set_result(None)


async def _kill(process: asyncio.SubprocessTransport, run: _Run) -> None:
    """Kill a plugin that still runs, and wait for its end. What its children print is not waited for."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    output = process.get_pipe_transport(1)
    if output is not None:
        output.close()
    await run.ended


class ExecPlugin:
    """The credentials that a program prints. ``described`` names the entry of the plugin in messages."""

    def __init__(
        self,
        described: str,
        configuration: ExecConfiguration,
        *,
        cluster: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.time,
        timeout: float = _TIMEOUT,
    ) -> None:
        """``cluster`` is the cluster information that the plugin gets, if its entry asks for it."""
        self._described = described
        self._configuration = configuration
        self._command = configuration.command
        self._cluster = cluster
        self._clock = clock
        self._timeout = timeout
        self._credential: Credential | None = None
        self._expires = float("inf")
        self._running = asyncio.Lock()

    async def current(self) -> Credential:
        async with self._running:
            if self._credential is None or self._clock() >= self._expires:
                self._credential, self._expires = self._parse(await self._run())
            return self._credential

    def rejected(self, credential: Credential) -> bool:
        if self._credential is credential:
            self._credential = None
        return True

    async def _run(self) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            process, run = await loop.subprocess_exec(
                _Run,
                self._command,
                *self._configuration.arguments,
                env=self._variables(),
                stdin=None if self._interactive() else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=None,
            )
        except OSError as error:
            hint = f"\n{self._configuration.install_hint}" if self._configuration.install_hint else ""
            raise self._error(f"cannot run {self._command}: {error.strerror}{hint}") from error
        try:
            async with asyncio.timeout(self._timeout):
                await asyncio.wait((run.ended, run.too_much), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise self._error(f"{self._command} did not end within {self._timeout:g} s") from error
        finally:
            if not run.ended.done():
                await _kill(process, run)
            process.close()
        if run.too_much.done():
            raise self._error(f"{self._command} printed more than {_MAX_OUTPUT} bytes")
        if code := process.get_returncode():
            raise self._error(f"{self._command} ended with exit code {code}")
        return bytes(run.output)

    def _interactive(self) -> bool:
        terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
        if self._configuration.interactive_mode == "Always" and not terminal:
            raise self._error(f"{self._command} needs a terminal as standard input (interactiveMode: Always)")
        return terminal and self._configuration.interactive_mode != "Never"

    def _variables(self) -> dict[str, str]:
        spec: dict[str, Any] = {"interactive": self._interactive()}
        if self._cluster is not None:
            spec["cluster"] = self._cluster
        info = {"apiVersion": self._configuration.api_version, "kind": "ExecCredential", "spec": spec}
        return {**os.environ, **self._configuration.environment, _INFO_VARIABLE: orjson.dumps(info).decode()}

    def _parse(self, output: bytes) -> tuple[Credential, float]:
        try:
            printed = orjson.loads(output)
        except ValueError:
            raise self._error(f"{self._command} printed no JSON") from None  # the cause would show the output
        if not isinstance(printed, dict) or printed.get("kind") != "ExecCredential":
            raise self._error(f"{self._command} printed no ExecCredential")
        if printed.get("apiVersion") != self._configuration.api_version:
            raise self._error(
                f"{self._command} printed an ExecCredential of another apiVersion than {self._configuration.api_version}"
            )
        status = printed.get("status")
        if not isinstance(status, dict):
            raise self._error(f"{self._command} printed an ExecCredential without a status")
        return self._credential_of(status), self._expiry(status)

    def _credential_of(self, status: Mapping[str, Any]) -> Credential:
        names = ("token", "clientCertificateData", "clientKeyData")
        token, certificate, key = (status.get(name) or "" for name in names)
        if not all(isinstance(value, str) for value in (token, certificate, key)):
            raise self._error(f"{self._command}: status: {', '.join(names)} must be strings")
        if not token and not certificate:
            raise self._error(f"{self._command}: status has neither a token nor clientCertificateData")
        if bool(certificate) != bool(key):
            raise self._error(f"{self._command}: status has only one of clientCertificateData and clientKeyData")
        if not token.isascii() or (token and not token.isprintable()):
            raise self._error(f"{self._command}: status.token must consist of printable ASCII characters")
        pair = ClientCertificate(certificate.encode(), key.encode()) if certificate else None
        return Credential(bearer(token) if token else "", pair)

    def _expiry(self, status: Mapping[str, Any]) -> float:
        text = status.get("expirationTimestamp")
        if text is None:
            return float("inf")
        try:
            return parse_time(text).timestamp()
        except (TypeError, ValueError):
            raise self._error(f"{self._command}: status.expirationTimestamp must be an RFC 3339 time") from None

    def _error(self, problem: str) -> CredentialsError:
        return CredentialsError(f"{self._described}: exec: {problem}")
