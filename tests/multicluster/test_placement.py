"""Names that the controllers of many clusters share."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.api.names import is_dns1123_label, is_dns1123_subdomain
from kcp.multicluster import placement
from kcp.multicluster.placement import Locator

LABELS = st.from_regex(re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"), fullmatch=True)
SUBDOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: ".".join(labels)[:253].rstrip("-."))
LOCATOR = Locator("root", "u1", "east", "u2", "shop", "web", "u3")


def test_a_locator_is_json_with_the_names_of_its_fields() -> None:
    assert json.loads(LOCATOR.encode()) == {
        "logicalCluster": "root",
        "logicalClusterUID": "u1",
        "cluster": "east",
        "clusterUID": "u2",
        "namespace": "shop",
        "name": "web",
        "uid": "u3",
    }


@given(st.builds(Locator, *[st.text() for _ in Locator._fields]))
def test_a_locator_survives_its_annotation(locator: Locator) -> None:
    assert placement.decode_locator(locator.encode()) == locator


@pytest.mark.parametrize(
    "text",
    [None, 7, "", "{", "[]", "{}", "[" * 100_000, '{"logicalCluster":"root"}', LOCATOR.encode().replace('"u3"', "3")],
)
def test_what_is_no_locator_locates_nothing(text: object) -> None:
    assert placement.decode_locator(text) is None


def test_a_locator_with_unknown_fields_is_another_programs() -> None:
    extended = {**json.loads(LOCATOR.encode()), "shard": "a"}
    assert placement.decode_locator(json.dumps(extended)) is None


@pytest.mark.parametrize("meta", [{}, {"labels": None, "annotations": None}, {"labels": {}, "annotations": {}}])
def test_an_object_without_labels_and_annotations_is_neither_assigned_nor_a_copy(meta: dict[str, object]) -> None:
    found = {"metadata": meta}
    assert placement.cluster_of(found) == placement.mark_of(found) == ""
    assert placement.locator_of(found) is None


@given(LABELS)
def test_a_finalizer_is_a_qualified_name(cluster: str) -> None:
    domain, _, name = placement.finalizer(cluster).partition("/")
    assert domain == "workload.kcp.io"
    assert len(name) <= 63
    assert not is_dns1123_label(name)


def test_clusters_with_long_names_that_begin_alike_have_finalizers_of_their_own() -> None:
    assert placement.finalizer("a" * 62 + "x") != placement.finalizer("a" * 62 + "y")


@given(st.tuples(st.text(), st.text(), st.text()), st.tuples(st.text(), st.text(), st.text()))
def test_namespaces_downstream_differ_where_one_part_does(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    found = placement.downstream_namespace(*one)
    assert re.fullmatch(r"kcp-[a-z2-7]{12}", found)
    assert (found == placement.downstream_namespace(*other)) == (one == other)


@given(SUBDOMAINS, LABELS)
def test_the_name_of_a_leaf_is_the_name_of_an_object(root: str, cluster: str) -> None:
    name = placement.leaf_name(root, cluster)
    assert not is_dns1123_subdomain(name)
    assert len(placement.leaf_name(root, cluster, 63)) <= 63


def test_a_short_name_is_kept() -> None:
    assert placement.leaf_name("web", "us-east1") == "web--us-east1"
    assert placement.label_value("web") == "web"
    assert placement.shorten("x" * 63, 63) == "x" * 63


@given(st.text("ab-.", min_size=64, max_size=300), st.text("ab-.", min_size=64, max_size=300))
def test_shortened_names_are_within_the_limit_and_differ(one: str, other: str) -> None:
    assert len(placement.shorten(one, 63)) <= 63
    assert (placement.shorten(one, 63) == placement.shorten(other, 63)) == (one == other)


@given(st.text("ab-.", min_size=50, max_size=90).map(lambda text: f"a{text}a"))
def test_no_name_is_that_of_a_shortened_one(name: str) -> None:
    """Whoever may name Clusters cannot choose a name that gives them the account or the finalizer of another."""
    short = placement.shorten(name, 63)
    assert len(short) == min(len(name), 63)
    if short != name:
        assert placement.shorten(short, 63) != short
