"""The attributes of a request, parsed once from its method, path and query.

Follows k8s.io/apiserver's RequestInfoFactory, with kcp's ``/clusters/<name>`` prefix. Authorization, routing and logging all
use the same RequestInfo, so that none of them can interpret a path differently: a path is split before its segments are
percent-decoded, and ambiguous paths are refused (dot segments, empty segments, encoded slashes or zero bytes, encodings
that are not UTF-8).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from kcp import logical_clusters
from kcp.api import errors
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.logical_clusters import LogicalClusterName
from kcp.server.requests.queries import Query

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*)+/?|/")
"""Paths without percent-encoding and dot segments, nearly all of them: one match instead of a check of each segment."""

_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES: Final = frozenset({"status", "finalize"})
_CACHE_SIZE: Final = 512
_CACHED_LENGTH: Final = 256
_CORE_DEPTH: Final = 2
_GROUP_DEPTH: Final = 3
_DEEPEST: Final = 3
"""Resource, name and subresource."""


@dataclass(slots=True)
class RequestInfo(AuthorizationAttributes):
    """The attributes of a request. Shared between requests: never changed.

    ``parts`` are the decoded segments of the path after the logical cluster; ``prefix`` is the part of the path that selects
    the logical cluster, for URLs in responses.
    """

    parts: tuple[str, ...] = ()
    method: str = "GET"
    prefix: str = ""
    query: Query = field(default_factory=lambda: Query(b""))

    def label_selector(self) -> str:
        """Return the text of the label selector of a list or watch, as the client sent it."""
        return self.query.text("labelSelector")

    def field_selector(self) -> str:
        """Return the text of the field selector of a list or watch, as the client sent it."""
        return self.query.text("fieldSelector")


def _logical_cluster(text: str) -> LogicalClusterName:
    """Parse the logical cluster of a path or header. Raises StatusError 404."""
    try:
        return logical_clusters.parse_name(text)
    except logical_clusters.InvalidNameError as error:
        raise errors.StatusError(404, "NotFound", f"Unknown cluster: {error}") from error


def split_path(raw_path: bytes) -> list[str]:
    """Split a path into its decoded segments. Raises StatusError 400 for an ambiguous path."""
    if _PLAIN_PATH.fullmatch(raw_path):
        parts = raw_path.decode().split("/")
        return parts[1:-1] if parts[-1] == "" else parts[1:]
    if not raw_path.startswith(b"/"):
        raise errors.bad_request("the path must start with a slash")
    if _BAD_ESCAPE.search(raw_path):
        raise errors.bad_request("the path holds an invalid percent-encoding")
    segments = raw_path[1:].split(b"/")
    if segments[-1] == b"":
        segments.pop()
    return [_segment(segment) for segment in segments]


def _segment(encoded: bytes) -> str:
    if not encoded:
        raise errors.bad_request("the path holds an empty segment")
    decoded = unquote_to_bytes(encoded)
    if b"/" in decoded or b"\x00" in decoded:
        raise errors.bad_request("the path holds an encoded slash or zero byte")
    if decoded in {b".", b".."}:
        raise errors.bad_request("the path holds a dot segment")
    try:
        return decoded.decode()
    except UnicodeDecodeError as error:
        raise errors.bad_request("the path is not UTF-8") from error


def read_request(method: str, raw_path: bytes, query_string: bytes, cluster_header: bytes | None) -> RequestInfo:
    """Parse a request; short ones are cached. Raises StatusError 400 or 404."""
    if len(raw_path) + len(query_string) < _CACHED_LENGTH:
        return _read_cached(method, raw_path, query_string, cluster_header)
    return _read(method, raw_path, query_string, cluster_header)


def _read(method: str, raw_path: bytes, query_string: bytes, cluster_header: bytes | None) -> RequestInfo:
    parts = split_path(raw_path)
    prefix = ""
    if parts and parts[0] == logical_clusters.PATH_ROOT:
        cluster = _logical_cluster(parts[1] if len(parts) > 1 else "")
        prefix = logical_clusters.path_of(cluster)
        parts = parts[2:]
    elif cluster_header:
        cluster = _logical_cluster(cluster_header.decode("latin-1"))
    else:
        cluster = logical_clusters.DEFAULT
    query = Query(query_string)
    if parts:
        root = parts[0]
        if root == "api" and len(parts) > _CORE_DEPTH:
            return _resource_request(method, cluster, prefix, "", parts, _CORE_DEPTH, query)
        if root == "apis" and len(parts) > _GROUP_DEPTH:
            return _resource_request(method, cluster, prefix, parts[1], parts, _GROUP_DEPTH, query)
    path = "/" + "/".join(parts)
    if parts and raw_path.endswith(b"/"):
        path += "/"
    verb = method.lower()
    return RequestInfo(cluster, verb, False, path=path, parts=tuple(parts), method=method, prefix=prefix, query=query)


_read_cached: Final = lru_cache(_CACHE_SIZE)(_read)
"""Clients repeat the same paths. The cache takes at most 3 MB."""


def _resource_request(
    method: str, cluster: LogicalClusterName, prefix: str, group: str, parts: list[str], depth: int, query: Query
) -> RequestInfo:
    version, rest = parts[depth - 1], parts[depth:]
    verb = _VERBS.get(method, "")
    watching = False
    if rest[0] == "watch" and len(rest) > 1 and verb == "get":
        watching, rest = True, rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) >= _DEEPEST and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    if len(rest) > _DEEPEST:
        raise errors.unknown_path()
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) == _DEEPEST else ""
    if verb == "get" and (watching or not name):
        verb = "watch" if watching or query.flag("watch") else "list"
        name = name or query.selected_name()
    elif verb == "delete" and not name:
        verb = "deletecollection"
    return RequestInfo(
        cluster,
        verb,
        True,
        group,
        version,
        resource,
        subresource,
        namespace,
        name,
        parts=tuple(parts),
        method=method,
        prefix=prefix,
        query=query,
    )
