"""Credentials in files that are rotated: tokens of service accounts, client certificates."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kcp.client.credentials.contract import ClientCertificate, Credential, bearer
from kcp.client.errors import CredentialsError

_REREAD: Final = 60.0
"""Seconds after which the files are read again, as in client-go. After a 401 they are read at once."""


class FileCredentials:
    """A token and a client certificate, each in a file or inline. ``described`` names their owner in messages."""

    def __init__(
        self,
        described: str,
        *,
        authorization: str = "",
        token_file: Path | None = None,
        certificate: bytes | Path = b"",
        key: bytes | Path = b"",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._described = described
        self._authorization = authorization
        self._token_file = token_file
        self._certificate = certificate
        self._key = key
        self._clock = clock
        self._read: Credential | None = None
        self._read_at = 0.0

    async def current(self) -> Credential:
        if self._read is None or self._clock() - self._read_at >= _REREAD:
            try:
                self._read = self.read()
            except CredentialsError:
                if self._read is None:  # a file that is being replaced: the last content may still do
                    raise
            self._read_at = self._clock()
        return self._read

    def rejected(self, credential: Credential) -> bool:
        if self._read is not credential:
            return True
        self._read_at -= _REREAD
        try:
            return self.read() != credential
        except CredentialsError:
            return False

    def read(self) -> Credential:
        """Read the files. Raises CredentialsError that names the file and the field."""
        authorization = self._read_authorization()
        if not self._certificate:
            return Credential(authorization)
        certificate = self._bytes("client-certificate", self._certificate)
        return Credential(authorization, ClientCertificate(certificate, self._bytes("client-key", self._key)))

    def _read_authorization(self) -> str:
        if self._token_file is None:
            return self._authorization
        try:
            return bearer(self._text("tokenFile", self._token_file))
        except CredentialsError:
            if not self._authorization:  # a token beside the file counts while the file cannot be read
                raise
            return self._authorization

    def _text(self, field: str, path: Path) -> str:
        text = self._bytes(field, path).decode("utf-8", "replace").strip()
        if not text.isascii() or not text.isprintable() or not text:
            raise CredentialsError(f"{self._described}: {field}: {path} holds no token: it must be one line of ASCII")
        return text

    def _bytes(self, field: str, source: bytes | Path) -> bytes:
        if isinstance(source, bytes):
            return source
        try:
            content = source.read_bytes()
        except OSError as error:
            raise CredentialsError(f"{self._described}: {field}: {source}: {error.strerror}") from error
        if not content:
            raise CredentialsError(f"{self._described}: {field}: {source} is empty")
        return content
