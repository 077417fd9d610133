"""gRPC, silenced: what it would print about connections is in the errors of those who call."""

from __future__ import annotations

import os
from typing import Any


def load_grpc() -> Any:
    """Import gRPC, which reads once how much it is to print: no other module of kcp imports it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import grpc

    return grpc
