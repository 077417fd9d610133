"""Parsing of requests: method, path and query."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.errors import StatusError
from kcp.server.requests.request_info import RequestInfo, read_request, split_path


def read(path: str, method: str = "GET", query: str = "", cluster: bytes | None = None) -> RequestInfo:
    return read_request(method, path.encode(), query.encode(), cluster)


def shown(info: RequestInfo) -> tuple[str, ...]:
    return (info.verb, info.group, info.version, info.resource, info.subresource, info.namespace, info.name)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/api/v1/namespaces", ("list", "", "v1", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/a", ("get", "", "v1", "namespaces", "", "a", "a")),
        ("PUT", "/api/v1/namespaces/a/finalize", ("update", "", "v1", "namespaces", "finalize", "a", "a")),
        ("PATCH", "/api/v1/namespaces/a/status", ("patch", "", "v1", "namespaces", "status", "a", "a")),
        ("GET", "/api/v1/namespaces/a/configmaps", ("list", "", "v1", "configmaps", "", "a", "")),
        ("POST", "/api/v1/namespaces/a/configmaps", ("create", "", "v1", "configmaps", "", "a", "")),
        ("DELETE", "/api/v1/namespaces/a/configmaps", ("deletecollection", "", "v1", "configmaps", "", "a", "")),
        ("DELETE", "/api/v1/namespaces/a/configmaps/b", ("delete", "", "v1", "configmaps", "", "a", "b")),
        ("HEAD", "/api/v1/namespaces/a/configmaps/b", ("get", "", "v1", "configmaps", "", "a", "b")),
        ("GET", "/api/v1/configmaps", ("list", "", "v1", "configmaps", "", "", "")),
        ("GET", "/apis/g.io/v1/widgets/w", ("get", "g.io", "v1", "widgets", "", "", "w")),
        ("GET", "/apis/g.io/v1/namespaces/a/widgets/w/scale", ("get", "g.io", "v1", "widgets", "scale", "a", "w")),
        ("GET", "/api/v1/watch/configmaps", ("watch", "", "v1", "configmaps", "", "", "")),
        ("GET", "/api/v1/watch/namespaces/a/configmaps/b", ("watch", "", "v1", "configmaps", "", "a", "b")),
    ],
)
def test_requests_on_resources(method: str, path: str, expected: tuple[str, ...]) -> None:
    info = read(path, method)
    assert info.is_resource
    assert shown(info) == expected


@pytest.mark.parametrize("path", ["/", "/api", "/apis", "/api/v1", "/apis/g.io/v1", "/version", "/openapi/v3/api/v1"])
def test_other_paths(path: str) -> None:
    info = read(path)
    assert (info.is_resource, info.verb, info.path) == (False, "get", path)


@pytest.mark.parametrize(
    ("query", "verb"),
    [
        ("watch=true", "watch"),
        ("watch=1", "watch"),
        ("watch", "watch"),
        ("watch=0", "list"),
        ("watch=False", "list"),
        ("", "list"),
    ],
)
def test_a_collection_is_listed_or_watched(query: str, verb: str) -> None:
    assert read("/api/v1/configmaps", query=query).verb == verb


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("fieldSelector=metadata.name%3Da", "a"),
        ("fieldSelector=metadata.name==a&watch=true", "a"),
        ("fieldSelector=metadata.namespace%3Db%2Cmetadata.name%3Da", "a"),
        ("fieldSelector=metadata.name!%3Da", ""),
        ("fieldSelector=metadata.namespace%3Da", ""),
    ],
)
def test_a_list_of_one_name_is_a_request_for_that_name(query: str, name: str) -> None:
    assert read("/api/v1/namespaces/b/configmaps", query=query).name == name


def test_the_default_logical_cluster_is_root() -> None:
    assert read("/api/v1/namespaces").cluster == "root"


def test_the_prefix_selects_the_logical_cluster_and_leaves_the_rest_as_it_is() -> None:
    info = read("/clusters/team-1/api/v1/namespaces/a/configmaps/b")
    assert (info.cluster, info.prefix, info.namespace, info.name) == ("team-1", "/clusters/team-1", "a", "b")
    assert read("/clusters/team-1").path == "/"
    assert read("/clusters/team-1/").path == "/"


def test_the_header_selects_it_too_and_the_path_wins() -> None:
    assert read("/api", cluster=b"team-1").cluster == "team-1"
    assert read("/api", cluster=b"*").cluster == "*"
    assert read("/clusters/team-2/api", cluster=b"team-1").cluster == "team-2"
    assert read("/api", cluster=b"").cluster == "root"


@pytest.mark.parametrize("name", ["aa", "a-1", "0a", "a" * 80, "*"])
def test_names_of_logical_clusters(name: str) -> None:
    assert read(f"/clusters/{name}/api").cluster == name


@pytest.mark.parametrize(
    "name", ["a", "A1", "-aa", "aa-", "a_a", "a.a", "root:org:team", "a" * 81, "**", "%2A%2A", "aa%0A"]
)
def test_other_names_are_refused_with_the_rule(name: str) -> None:
    for path, cluster in ((f"/clusters/{name}/api", b""), ("/api", name.encode())):
        with pytest.raises(StatusError) as refusal:
            read(path, cluster=cluster)
        assert refusal.value.code == 404
        assert "^[a-z0-9][a-z0-9-]{0,78}[a-z0-9]$" in refusal.value.message


@pytest.mark.parametrize(
    "path",
    [
        "",
        "api",
        "//api/v1",
        "/api//v1/namespaces",
        "/api/v1/namespaces//",
        "/api/v1/namespaces/../secrets",
        "/api/v1/./namespaces",
        "/api/v1/namespaces/%2e%2e/secrets",
        "/api/v1/namespaces/a%2Fb",
        "/api/v1/namespaces/a%2fb",
        "/api/v1/namespaces/a%00",
        "/api/v1/namespaces/a%",
        "/api/v1/namespaces/a%2",
        "/api/v1/namespaces/a%zz",
        "/api/v1/namespaces/%ff",
        "/clusters//api",
    ],
)
def test_ambiguous_paths_are_refused(path: str) -> None:
    with pytest.raises(StatusError) as refusal:
        read(path)
    assert refusal.value.code in (400, 404)
    assert refusal.value.reason in ("BadRequest", "NotFound")


def test_an_escaped_letter_is_that_letter() -> None:
    assert read("/api/v1/namespaces/%61").name == "a"
    assert read("/api/v1/namespaces/system%3Anode").name == "system:node"


def test_paths_below_a_subresource_are_404() -> None:
    with pytest.raises(StatusError) as refusal:
        read("/api/v1/namespaces/a/configmaps/b/c/d")
    assert refusal.value.code == 404


T = TypeVar("T")


def unless_refused(ask: Callable[[], T]) -> T | None:
    """Return the parsed request, or None when it is refused with an allowed error."""
    try:
        return ask()
    except StatusError as refusal:
        if refusal.code in (400, 404):
            return None
        raise


segments = st.lists(
    st.text(min_size=1, max_size=12).filter(
        lambda text: "/" not in text and "\x00" not in text and text not in (".", "..")
    ),
    max_size=6,
)


@settings(max_examples=100)
@given(segments)
def test_every_path_of_valid_segments_round_trips(parts: list[str]) -> None:
    assert split_path(("/" + "/".join(quote(part, safe="") for part in parts)).encode()) == parts


@settings(max_examples=100)
@given(st.binary(max_size=60))
def test_no_bytes_are_parsed_into_unsafe_segments(raw: bytes) -> None:
    parts = unless_refused(lambda: split_path(b"/" + raw))
    if parts is None:
        return
    assert all(part and part not in (".", "..") and "/" not in part and "\x00" not in part for part in parts)


pieces = st.sampled_from(
    [
        "clusters",
        "api",
        "apis",
        "v1",
        "namespaces",
        "secrets",
        "a",
        "..",
        ".",
        "",
        "%2f",
        "%2e%2e",
        "*",
        "root",
        "watch",
        "status",
        "%",
    ]
)


@settings(max_examples=100)
@given(st.lists(pieces, max_size=9), st.sampled_from(["GET", "PUT", "DELETE", "POST", "TRACE"]))
def test_a_path_has_one_interpretation(parts: list[str], method: str) -> None:
    """The parsed parts are exactly the segments of the path, in order."""
    path = "/" + "/".join(parts)
    info = unless_refused(lambda: read(path, method))
    if info is None:
        return
    assert not {"", ".", "..", "%2f", "%2e%2e", "%"} & set(parts[:-1])
    if info.is_resource:
        assert info.resource in parts
        assert all(not value or value in parts for value in (info.namespace, info.name, info.subresource))
