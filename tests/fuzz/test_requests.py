"""Random and pathological request heads: paths, queries, headers, bytes that are not HTTP."""

from __future__ import annotations

import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import CONFIG_MAPS, FUZZED, WIDGETS, Target, words
from tests.support.objects import DEFINITIONS

METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO"])
TARGET_LETTERS = "".join(letter for letter in string.printable if letter not in string.whitespace + "#")
SEGMENTS = st.sampled_from(
    words(
        "api apis v1 namespaces default configmaps there watch status scale example.com widgets clusters root "
        "* . .. %2e%2e %2f %00 %zz %ff %25 ~ proxy openapi v2 v3 livez readyz version metrics "
        "apiextensions.k8s.io"
    )
) | st.text(TARGET_LETTERS.replace("?", ""), max_size=12)


def paths_of(parts: list[str]) -> str:
    return "/" + "/".join(parts)


@FUZZED
@given(method=METHODS, parts=st.lists(SEGMENTS, max_size=9))
def test_any_path(target: Target, method: str, parts: list[str]) -> None:
    if parts[:1] == [""] or method == "DELETE":
        parts = ["clusters", "fuzzed", *parts]
    body = b"{}" if method in ("POST", "PUT", "PATCH") else None
    target.ask(method, paths_of(parts), body, Connection="close" if "watch" in parts else "keep-alive")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/../configmaps",
        "/api/v1/namespaces/%2e%2e/configmaps",
        "/api/v1/namespaces/default%2fconfigmaps",
        "/api/v1/namespaces/default/configmaps/a%00b",
        "/api/v1//namespaces",
        "//api/v1/namespaces",
        "/clusters//api/v1/namespaces",
        "/clusters/../api/v1/namespaces",
        "/clusters/a%2fb/api/v1/namespaces",
        "/clusters/a/clusters/b/api/v1/namespaces",
        "/clusters/%2a%2a/api/v1/namespaces",
        "/clusters/" + "a" * 5000 + "/api/v1/namespaces",
        "/api/v1/namespaces/" + "a" * 5000,
        "/api/v1/namespaces/default/configmaps/" + "%61" * 5000,
        "/" + "a/" * 5000,
        "/api/v1/namespaces/%ff%fe",
    ],
)
def test_paths_that_do_not_exist(target: Target, path: str) -> None:
    target.refused("GET", path)


VALUES = st.text(max_size=30) | st.sampled_from(
    [
        "0",
        "-1",
        "1",
        "99999999999999999999",
        "true",
        "All",
        "NotOlderThan",
        "Exact",
        "Strict",
        "a=b",
        "a in (b,c)",
        "!a",
    ]
)
PARAMETERS = st.sampled_from(
    words(
        "labelSelector fieldSelector limit continue resourceVersion resourceVersionMatch dryRun "
        "fieldValidation fieldManager pretty includeObject propagationPolicy gracePeriodSeconds "
        "orphanDependents sendInitialEvents allowWatchBookmarks force verbose exclude timeout"
    )
)


@FUZZED
@given(st.lists(st.tuples(PARAMETERS, VALUES), max_size=5), st.sampled_from(["GET", "POST", "DELETE"]))
def test_any_query(target: Target, query: list[tuple[str, str]], method: str) -> None:
    text = "&".join(f"{name}={quote(value)}" for name, value in query)
    path = f"/clusters/fuzzed{CONFIG_MAPS}" + (f"/none?{text}" if method == "DELETE" else f"?{text}")
    target.ask(method, path, {"metadata": {"generateName": "a-"}} if method == "POST" else None)


@FUZZED
@given(query=st.text(TARGET_LETTERS, max_size=60))
def test_any_text_as_a_query(target: Target, query: str) -> None:
    target.ask("GET", f"{WIDGETS}?{query.replace('watch', '')}")


SELECTOR_PARTS = st.sampled_from(
    ["a", "a.b/c", "=", "==", "!=", "in", "notin", "(", ")", ",", "!", ">", "<", "5", " ", "\\", "'"]
)


@FUZZED
@given(st.lists(SELECTOR_PARTS, max_size=8), st.sampled_from(["labelSelector", "fieldSelector"]))
def test_any_selector(target: Target, parts: list[str], kind: str) -> None:
    target.ask("GET", f"{CONFIG_MAPS}?{kind}={quote(''.join(parts))}")


@pytest.mark.parametrize(
    ("selector", "status"), [("a in (" + ",".join(["b"] * 3000) + ")", 200), ("(" * 3000, 400), ("a" * 8000, 400)]
)
def test_large_selectors(target: Target, selector: str, status: int) -> None:
    assert target.ask("GET", f"{CONFIG_MAPS}?labelSelector={quote(selector)}").status == status


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "e30",
        "e30=",
        "%00",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiLi4ifQ",
        "W10",
        "bnVsbA",
        "MQ",
        "IiI",
        "8J-YgA",
        "A" * 6000,
    ],
)
def test_forged_continue_tokens(target: Target, token: str) -> None:
    target.refused("GET", f"{CONFIG_MAPS}?limit=1&continue={token}")


@FUZZED
@given(st.binary(max_size=40))
def test_any_bytes_as_a_continue_token(target: Target, token: bytes) -> None:
    import base64

    target.ask("GET", f"{CONFIG_MAPS}?limit=1&continue={quote(base64.urlsafe_b64encode(token).decode())}")


def test_a_flood_of_parameters(target: Target) -> None:
    target.refused("GET", f"{CONFIG_MAPS}?" + "&".join(f"a{number}=b" for number in range(2000)))


HEADER_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60)
MEDIA_TYPES = st.lists(
    st.sampled_from(
        words(
            "application/json application/yaml */* text/* as=Table v=v1 g=meta.k8s.io q=0 q=x ; , / "
            "application/vnd.kubernetes.protobuf as=PartialObjectMetadata application/apply-patch+yaml "
            "stream=watch"
        )
    ),
    max_size=6,
).map(";".join)


@FUZZED
@given(MEDIA_TYPES | HEADER_VALUES)
def test_any_accept_header(target: Target, accept: str) -> None:
    for path in (CONFIG_MAPS, "/apis", "/openapi/v2", f"{CONFIG_MAPS}/none"):
        target.ask("GET", path, Accept=accept.strip())


@FUZZED
@given(MEDIA_TYPES | HEADER_VALUES, st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]))
def test_any_content_type(target: Target, content_type: str, method: str) -> None:
    path = CONFIG_MAPS if method == "POST" else f"{CONFIG_MAPS}/none"
    target.ask(
        method, f"/clusters/fuzzed{path}", b'{"metadata":{"generateName":"a-"}}', media_type=content_type.strip()
    )


HEADERS = st.sampled_from(
    words(
        "X-Kubernetes-Cluster Authorization Audit-Id User-Agent Impersonate-User Impersonate-Group "
        "Impersonate-Extra-a If-None-Match Accept-Encoding Content-Encoding Expect X-Forwarded-For Range "
        "Origin Upgrade Sec-WebSocket-Protocol"
    )
)


@FUZZED
@given(st.dictionaries(HEADERS, HEADER_VALUES.map(str.strip), max_size=4))
def test_any_header(target: Target, headers: dict[str, str]) -> None:
    headers.pop("Expect", None)
    target.ask("GET", CONFIG_MAPS, Connection="close", **headers)


def test_a_giant_header_is_refused_and_not_a_hang(target: Target) -> None:
    answer = target.raw(b"GET /api HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 2_000_000 + b"\r\n\r\n")
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:200]


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /api HTTP/1.1\r\n\r\n",
        b"GET /api HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"\x00" * 1000,
        bytes(range(256)),
    ],
)
@pytest.mark.parametrize("plain", [False, True])
def test_bytes_that_are_no_request(target: Target, data: bytes, plain: bool) -> None:
    answer = target.raw(data, plain=plain)
    assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")), answer


def test_memory_does_not_grow_with_requests_for_unknown_types(target: Target) -> None:
    before = target.memory
    for number in range(1500):
        target.refused("GET", f"/clusters/nobody-{number}/apis/group-{number}.example.com/v1/things-{number}")
        target.refused("GET", f"{DEFINITIONS}/things-{number}.example.com")
    assert target.memory - before < 8 * 1024 * 1024
