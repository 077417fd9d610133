"""Checks of the dependencies beyond their version ranges, made before a server starts.

h2corn is a young project that may rename an option within a major version, and PyYAML may be built without libyaml. A server that
starts with them fails late, or lets one client stall it; one line that names the package is better.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

from kcp.server.process.errors import ConfigurationError

H2CORN_OPTIONS: Final = frozenset(
    {
        "access_log",
        "bind",
        "ca_certs",
        "cert_reqs",
        "certfile",
        "grpc",
        "h2_max_header_list_size",
        "h2_timeout_response_stall",
        "keyfile",
        "lifespan",
        "limit_connections",
        "limit_request_field_size",
        "limit_request_fields",
        "limit_request_head_size",
        "limit_request_line",
        "max_concurrent_streams",
        "max_request_body_size",
        "server_header",
        "timeout_graceful_shutdown",
        "timeout_handshake",
        "timeout_keep_alive",
        "timeout_request_body_idle",
        "timeout_request_header",
        "websocket_max_message_size",
        "websocket_per_message_deflate",
    }
)
"""The options that `listening` sets."""
_H2CORN_METHODS: Final = ("serve", "shutdown", "wait_started")


def check() -> None:
    """Check the installed dependencies. Raises ConfigurationError with one line that names the package to replace."""
    for missing in _missing_from_h2corn():
        from importlib import metadata

        raise ConfigurationError(
            f"h2corn {metadata.version('h2corn')} has no {missing}, which kcp needs: pip install '{_range('h2corn')}'"
        )
    import yaml

    if not yaml.__with_libyaml__:
        raise ConfigurationError(
            "PyYAML is installed without libyaml, which kcp needs: install a wheel, or build PyYAML with libyaml's headers"
        )


def _missing_from_h2corn() -> Iterator[str]:
    import h2corn

    try:
        from h2corn._lib import emit_banner  # noqa: F401
    except ImportError:
        yield "function _lib.emit_banner"
    for name in _H2CORN_METHODS:
        if not hasattr(h2corn.Server, name):
            yield f"method Server.{name}"
    for name in sorted(H2CORN_OPTIONS - inspect.signature(h2corn.Config).parameters.keys()):
        yield f"option {name}"


def _range(package: str) -> str:
    """The requirement of kcp on a package; its name alone where kcp is not installed as a distribution."""
    from importlib import metadata

    try:
        requirements = metadata.requires("kcp-apiserver") or []
    except metadata.PackageNotFoundError:
        requirements = []
    return next((each for each in requirements if each.startswith(package)), package)
