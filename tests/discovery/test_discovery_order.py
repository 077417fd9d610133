"""Which version and which group come first."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.kinds import version_order
from kcp.builtin.registration import declare
from kcp.registry.documents.discovery import storage_version_hash
from kcp.registry.documents.groups import group_order

DOCUMENTED = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]


def test_versions_are_ordered_as_the_custom_resource_documentation_says() -> None:
    shuffled = DOCUMENTED.copy()
    random.Random(7).shuffle(shuffled)
    assert sorted(shuffled, key=version_order) == DOCUMENTED


@pytest.mark.parametrize("word", ["1", "v", "v1gamma1", "v1beta", "V1", "v1beta1x", "v١"])
def test_a_version_of_another_form_comes_after_every_kubernetes_version(word: str) -> None:
    assert version_order("v1alpha1") < version_order(word)


@settings(max_examples=60)
@given(st.integers(0, 99), st.integers(0, 99))
def test_a_higher_number_comes_first(one: int, other: int) -> None:
    assert (version_order(f"v{one}") < version_order(f"v{other}")) == (one > other)
    assert (version_order(f"v1beta{one}") < version_order(f"v1beta{other}")) == (one > other)


def test_built_in_groups_come_before_custom_ones_and_custom_ones_by_alphabet() -> None:
    declare()
    groups = ["zoo.example.com", "aardvark.dev", "rbac.authorization.k8s.io", "", "apps", "apiextensions.k8s.io"]
    expected = ["", "apps", "rbac.authorization.k8s.io", "apiextensions.k8s.io", "aardvark.dev", "zoo.example.com"]
    assert sorted(groups, key=group_order) == expected


@pytest.mark.parametrize(
    ("group", "version", "kind", "digest"),
    [
        ("", "v1", "ConfigMap", "qFsyl6wFWjQ="),
        ("", "v1", "Secret", "S6u1pOWzb84="),
        ("apps", "v1", "Deployment", "8aSe+NMegvE="),
        ("apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition", "jfWCUB31mvA="),
    ],
)
def test_the_storage_version_hash_is_the_one_that_kubernetes_gives(
    group: str, version: str, kind: str, digest: str
) -> None:
    assert storage_version_hash(group, version, kind) == digest
