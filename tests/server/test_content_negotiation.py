"""Content negotiation of responses and bodies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.errors import StatusError
from kcp.server.requests import content_negotiation

KUBECTL_TABLE = (
    b"application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
CLIENT_GO_METADATA = (
    b"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
    b"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
)
KUBECTL_DISCOVERY = (
    b"application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    b"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@pytest.mark.parametrize(
    ("accept", "verb", "key", "content_type"),
    [
        (b"", "get", "object", b"application/json"),
        (b"*/*", "get", "object", b"application/json"),
        (b"application/*", "get", "object", b"application/json"),
        (b"application/json, */*", "get", "object", b"application/json"),
        (b"application/yaml", "get", "object", b"application/yaml"),
        (b"application/yaml,application/json", "get", "object", b"application/yaml"),
        (b"application/yaml;q=0.5,application/json", "get", "object", b"application/json"),
        (b"application/vnd.kubernetes.protobuf,application/json", "get", "object", b"application/json"),
        (KUBECTL_TABLE, "list", "table/v1/Metadata", b"application/json"),
        (b"application/json;as=Table;v=v1beta1;g=meta.k8s.io", "get", "table/v1beta1/Metadata", b"application/json"),
        (b"application/json;as=Table;v=v9;g=meta.k8s.io, application/json", "list", "object", b"application/json"),
        (b"application/json;as=Table;v=v1;g=other, application/json", "list", "object", b"application/json"),
        (
            b"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "list",
            "metadata/v1",
            b"application/json",
        ),
        (b"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "get", "metadata/v1", b"application/json"),
        (CLIENT_GO_METADATA, "watch", "metadata/v1", b"application/json"),
        (b'application/json;as="Table";v=v1;g=meta.k8s.io', "list", "table/v1/Metadata", b"application/json"),
    ],
)
def test_the_first_acceptable_form_is_taken(accept: bytes, verb: str, key: str, content_type: bytes) -> None:
    view = content_negotiation.view(accept, verb)
    assert (view.representation.key, view.content_type) == (key, content_type)
    assert view.yaml == (content_type == b"application/yaml")


@pytest.mark.parametrize(
    ("accept", "verb"),
    [
        (b"text/html", "get"),
        (b"application/vnd.kubernetes.protobuf", "get"),
        (b"application/json;q=0", "get"),
        (b"application/yaml", "watch"),
        (b"application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "get"),
        (b"application/json;as=Tables;v=v1;g=meta.k8s.io", "list"),
    ],
)
def test_406_lists_the_available_media_types(accept: bytes, verb: str) -> None:
    with pytest.raises(StatusError) as refusal:
        content_negotiation.view(accept, verb)
    assert (refusal.value.code, refusal.value.reason) == (406, "NotAcceptable")
    assert "application/json" in refusal.value.message


@pytest.mark.parametrize(("include", "key"), [("", "Metadata"), ("None", "None"), ("Object", "Object")])
def test_table_rows_contain_the_requested_object(include: str, key: str) -> None:
    assert content_negotiation.view(KUBECTL_TABLE, "list", include).representation.key == f"table/v1/{key}"


def test_an_unknown_include_is_refused() -> None:
    with pytest.raises(StatusError) as refusal:
        content_negotiation.view(KUBECTL_TABLE, "list", "Everything")
    assert refusal.value.code == 400


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (KUBECTL_DISCOVERY, "v2"),
        (b"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList", "v2beta1"),
        (b"application/json;g=apidiscovery.k8s.io;v=v3;as=APIGroupDiscoveryList,application/json", None),
        (b"application/json", None),
        (b"application/json," + KUBECTL_DISCOVERY, None),
        (b"", None),
    ],
)
def test_aggregated_discovery_is_negotiated(accept: bytes, version: str | None) -> None:
    assert content_negotiation.aggregated_version(accept, ("v2", "v2beta1")) == version


def test_a_body_is_decoded_by_its_content_type() -> None:
    accepted = ("application/json", "application/yaml")
    assert content_negotiation.body_media_type(b"application/YAML; charset=utf-8", accepted) == "application/yaml"
    assert content_negotiation.body_media_type(b"", accepted) == "application/json"
    with pytest.raises(StatusError) as refusal:
        content_negotiation.body_media_type(b"text/plain", accepted)
    assert (refusal.value.code, refusal.value.reason) == (415, "UnsupportedMediaType")


@settings(max_examples=100)
@given(st.text(max_size=80))
def test_any_accept_header_is_handled(header: str) -> None:
    ranges = content_negotiation.media_ranges(header)
    assert all(0 < entry.quality <= 1 and entry.type and entry.subtype for entry in ranges)
    assert [entry.quality for entry in ranges] == sorted((entry.quality for entry in ranges), reverse=True)


names = st.sampled_from(["application/json", "application/yaml", "text/html", "*/*", "application/*"])
qualities = st.sampled_from(["", ";q=0", ";q=0.1", ";q=0.9", ";q=1", ";q=1.000", " ; q=0.5"])


@settings(max_examples=100)
@given(st.lists(st.tuples(names, qualities), min_size=1, max_size=5))
def test_the_best_quality_wins_and_of_equals_the_first(entries: list[tuple[str, str]]) -> None:
    def quality(text: str) -> float:
        return float(text.partition("q=")[2]) if text else 1.0

    wanted = [name for name, text in sorted(entries, key=lambda entry: -quality(entry[1])) if quality(text) > 0]
    takeable = [name for name in wanted if name != "text/html"]
    header = ",".join(name + text for name, text in entries).encode()
    if not takeable:
        with pytest.raises(StatusError):
            content_negotiation.negotiate(header)
        return
    expected = takeable[0] if "*" not in takeable[0] else "application/json"
    assert content_negotiation.negotiate(header).media_type == expected
