"""Exec plugins: programs that print credentials (client.authentication.k8s.io, KEP-541).

A plugin runs when its credential is first needed, and again when it has expired or the server has rejected it. Requests that
need it meanwhile wait for one run. Its standard error reaches the user; its standard output is never shown.
"""

from __future__ import annotations

import asyncio
import os
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
        try:
            process = await asyncio.create_subprocess_exec(
                self._command,
                *self._configuration.arguments,
                env=self._variables(),
                stdin=None if self._interactive() else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            hint = f"\n{self._configuration.install_hint}" if self._configuration.install_hint else ""
            raise self._error(f"cannot run {self._command}: {error.strerror}{hint}") from error
        try:
            async with asyncio.timeout(self._timeout):
                output = await self._output(process)
        except TimeoutError as error:
            raise self._error(f"{self._command} did not end within {self._timeout:g} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise self._error(f"{self._command} ended with exit code {process.returncode}")
        return output

    async def _output(self, process: asyncio.subprocess.Process) -> bytes:
        """Read what a plugin prints, until it ends. Raises CredentialsError as soon as that is too much."""
        assert process.stdout is not None
        output = bytearray()
        while piece := await process.stdout.read(_MAX_OUTPUT):
            output += piece
            if len(output) > _MAX_OUTPUT:
                raise self._error(f"{self._command} printed more than {_MAX_OUTPUT} bytes")
        await process.wait()
        return bytes(output)

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
