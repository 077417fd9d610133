"""The CA certificates that a destination's certificate is verified by; a file of them is read again, as client-go does.

client-go takes changed CA files up since 1.36 (``ClientsAllowCARotation``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

from kcp.outbound.destinations import Destination

_REREAD: Final = 60.0
"""Seconds after which the file is read again. After a certificate that is not trusted it is read at once."""


class Authorities:
    """The authorities of one destination."""

    def __init__(self, destination: Destination, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = destination.certificate_authority_file
        self._content = destination.certificate_authority
        self._clock = clock
        self._read_at = clock()

    def current(self) -> bytes:
        """Return the certificates to trust now, in PEM form. While the file cannot be read, those that were read last."""
        if self._file is not None and self._clock() - self._read_at >= _REREAD:
            self._read_at = self._clock()
            with contextlib.suppress(OSError):  # it is being replaced
                content = self._file.read_bytes()
                if b"-----END CERTIFICATE-----" in content:
                    self._content = content
        return self._content

    def rejected(self) -> None:
        """Read the file again when it is needed next: it does not have the authority of the destination."""
        self._read_at -= _REREAD
