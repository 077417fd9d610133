"""A limit on the address space of the process (``ulimit -v``): requests are refused before it is used up.

Where an allocation fails, dependencies end the process instead of raising an error: orjson 3.13 uses the null pointer that it got
(in ``loads`` and in ``dumps``), and the threads of h2corn abort. So a server whose address space is limited answers 503 while
little of it is left, and refuses a large write for which it may not suffice. The memory limit of a container (cgroups) is no
such limit: there no allocation fails, and the kernel kills the process when it uses the memory.
"""

from __future__ import annotations

import resource
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kcp.api import errors
from kcp.server.process import allocator
from kcp.server.process.errors import ConfigurationError

if TYPE_CHECKING:
    from kcp.server.requests.application import RequestFilter
    from kcp.server.requests.exchanges import Exchange
    from kcp.server.requests.request_info import RequestInfo

LEAST: Final = 512 << 20
"""Bytes of address space without which a server does not start.

Its libraries, the stacks of its threads and the built-in types take 230 MB. The rest is for requests.
"""
_RESERVE: Final = 96 << 20
"""Bytes that requests which are served already may use."""
_DECODED: Final = 24
"""Bytes that a decoded object takes at most for a byte of JSON: lists that are empty are the worst."""
_PAGE: Final = resource.getpagesize()
_STATM: Final = Path("/proc/self/statm")


def limit() -> int | None:
    """Return the limit in bytes, None where there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def prepare() -> None:
    """Use a limited address space sparingly. Raises ConfigurationError where it does not suffice for a server."""
    if (found := limit()) is None:
        return
    if found < LEAST:
        raise ConfigurationError(
            f"the address space is limited to {found >> 20} MB (ulimit -v); a server needs {LEAST >> 20} MB"
        )
    allocator.use_one_arena()


class AddressSpace:
    """The address space of this process, with its limit in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most

    def require(self, size: int = 0) -> None:
        """Check that there is room to work on so many bytes of JSON. Raises StatusError 503."""
        used = int(_STATM.read_bytes().split(None, 1)[0]) * _PAGE
        if self._most - used < _RESERVE + _DECODED * size:
            raise errors.service_unavailable(
                f"the server has little address space left: {used >> 20} of {self._most >> 20} MB are used (ulimit -v)"
            )

    async def __call__(self, exchange: Exchange, info: RequestInfo) -> None:  # noqa: ARG002 - as every filter
        """Refuse a request for resources while little address space is left. Raises StatusError 503."""
        if info.is_resource:
            self.require()


def of_process() -> AddressSpace | None:
    """Return the address space of this process, None where it has no limit, or the system does not tell its use."""
    found = limit()
    return AddressSpace(found) if found is not None and _STATM.exists() else None


def filters(space: AddressSpace | None) -> Sequence[RequestFilter]:
    """Return the filter of requests for a limited address space."""
    return [] if space is None else [space]
