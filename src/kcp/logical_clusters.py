"""Logical clusters: their names, how requests and objects name them, and the names that stand for no single one.

A logical cluster is a prefix of keys in the log; it exists as soon as something is stored under its name, and naming it
allocates nothing. The rule of names is that of kcp-dev/logicalcluster.
"""

from __future__ import annotations

import re
from typing import Final, NewType

LogicalClusterName = NewType("LogicalClusterName", str)
"""The name of one logical cluster, or one of the names below. At run time a plain string."""

WILDCARD: Final = LogicalClusterName("*")
"""All logical clusters: the name that lists, watches and ranges of the log across logical clusters have."""
SERVER_OWNED: Final = LogicalClusterName("")
"""The records of the servers themselves (identity, certificate authority): no request can name it."""
SERVER_RECORDS: Final = "servers.kcp.io"
"""The resource of these records."""
UNNAMED: Final = LogicalClusterName("")
"""No name: in a client, that of the server's default logical cluster, and of servers without logical clusters."""
DEFAULT: Final = LogicalClusterName("root")
"""The logical cluster of a request whose path and headers name none."""

ANNOTATION: Final = "kcp.io/cluster"
"""The annotation that tells readers across logical clusters where an object lives. It is never stored."""
HEADER: Final = b"x-kubernetes-cluster"
"""The request header that names a logical cluster where the path does not."""
PATH_ROOT: Final = "clusters"
"""The first segment of paths that name a logical cluster."""

CERTIFICATE_URI: Final = "kcp:logical-cluster:"
"""The start of the URI (a subject alternative name) by which a client certificate says in which logical cluster it holds."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,78}[a-z0-9]", re.ASCII)


class InvalidNameError(ValueError):
    """The text names no logical cluster; the message says what a name looks like."""


def parse_name(text: str) -> LogicalClusterName:
    """Read the name of a logical cluster, or the wildcard. Raises InvalidNameError."""
    if text == WILDCARD or _NAME.fullmatch(text):
        return LogicalClusterName(text)
    raise InvalidNameError(
        f'"{text}" is not a logical cluster name: 2 to 80 lower case letters, digits and "-", starting and ending with a '
        'letter or digit (^[a-z0-9][a-z0-9-]{0,78}[a-z0-9]$), or "*"'
    )


def path_of(name: LogicalClusterName) -> str:
    """The path prefix under which a logical cluster is an API server of its own."""
    return f"/{PATH_ROOT}/{name}"
