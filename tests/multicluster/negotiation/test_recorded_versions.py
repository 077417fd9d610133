"""Kubernetes 1.20 and 1.36: each type that both serve has an API that both can run."""

from __future__ import annotations

from functools import cache

from kcp.multicluster.crd_puller import RecursiveSchemaError, definition_of, structural_schema
from kcp.multicluster.negotiation.comparisons import Comparisons
from kcp.multicluster.negotiation.specs import CommonSpec, definition_of_specs, specs_of
from kcp.schema.definitions import default_definition, validate_definition
from tests.multicluster.recordings import recording

Resource = tuple[str, str, str]
RECURSIVE = ("apiextensions.k8s.io", "v1", "customresourcedefinitions")


@cache
def served(release: str) -> dict[Resource, CommonSpec]:
    """What a release serves, by group, version and plural."""
    found = recording(release)
    names = found.schema_names()
    specs = {}
    for resource in found.resources():
        key = (resource.group, resource.version, resource.plural)
        try:
            schema = structural_schema(found.schemas, names[resource.group, resource.version, resource.kind])
        except RecursiveSchemaError:
            continue
        (specs[key],) = specs_of(definition_of(resource, schema)).values()
    return specs


def test_every_type_of_both_releases_has_a_common_api() -> None:
    old, new, comparisons = served("1.20"), served("1.36"), Comparisons()
    both = sorted(old.keys() & new.keys())
    assert len(both) > 40
    for resource in both:
        found = comparisons.compare(new[resource], old[resource])
        assert found.common is not None, (resource, found.obstacles)
        for release in (old, new):
            assert comparisons.compare(found.common, release[resource]).common == found.common, resource
        mirrored = comparisons.compare(old[resource], new[resource]).common
        assert mirrored is not None, resource
        definition = definition_of_specs([found.common])
        default_definition(definition)
        assert validate_definition(definition) == [], resource


def test_a_description_says_what_the_definition_says() -> None:
    for spec in served("1.36").values():
        (again,) = specs_of(definition_of_specs([spec])).values()
        assert again == spec
