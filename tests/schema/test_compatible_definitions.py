"""What breaks the clients of a CustomResourceDefinition beside its schema, and what two definitions have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kcp.api import json_values
from kcp.schema.compatibility import (
    InvalidSchemaError,
    NoCommonSchemaError,
    compare_definitions,
    lowest_common_definition,
)
from kcp.schema.definitions import default_definition, validate_definition

Raw = dict[str, Any]
COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def version(name: str = "v1", *, served: bool = True, storage: bool = True, **more: Any) -> Raw:
    size = {"type": "integer", "minimum": 0}
    raw = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": size}}}}
    found: Raw = {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": raw}}
    found |= json_values.copy(more)
    return found


def widgets(*versions: Raw, **spec: Any) -> Raw:
    names = {"plural": "widgets", "kind": "Widget", "shortNames": ["wd", "wg"], "categories": ["all"]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com", "labels": {"a": "b"}, "resourceVersion": "7"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": names,
            "versions": json_values.copy([*versions] or [version()]),
            **spec,
        },
    }


def named(**names: Any) -> Raw:
    found = widgets()
    found["spec"]["names"] |= names
    return found


def breaks(old: Raw, new: Raw) -> list[str]:
    return [str(each) for each in compare_definitions(old, new)]


SCALE = {
    "specReplicasPath": ".spec.size",
    "statusReplicasPath": ".status.size",
    "labelSelectorPath": ".status.selector",
}
WITH_EVERYTHING = version(
    subresources={"status": {}, "scale": SCALE},
    additionalPrinterColumns=COLUMNS,
    selectableFields=[{"jsonPath": ".spec.size"}],
)


def test_a_definition_is_compatible_with_itself_and_with_one_that_serves_more() -> None:
    old, new = widgets(), widgets(WITH_EVERYTHING, version("v2", storage=False))
    del new["spec"]["versions"][0]["subresources"]["status"]
    assert breaks(old, old) == breaks(new, new) == breaks(old, new) == []
    assert breaks(named(shortNames=["wd"]), widgets()) == []


def changed(change: Callable[[Raw], object], raw: Raw = WITH_EVERYTHING) -> Raw:
    found: Raw = json_values.copy(raw)
    change(found)
    return widgets(found)


NARROWER = [
    (
        widgets(),
        named(shortNames=["wg"]),
        'spec.names.shortNames: short names were removed (was ["wd","wg"], is ["wg"])',
    ),
    (widgets(), named(categories=[]), 'spec.names.categories: categories were removed (was ["all"], is not set)'),
    (
        widgets(version(), version("v2", storage=False)),
        widgets(version()),
        "spec.versions[v2]: the version was removed: its clients get 404",
    ),
    (
        widgets(version(), version("v2", storage=False)),
        widgets(version(), version("v2", storage=False, served=False)),
        "spec.versions[v2].served: the version is no longer served: its clients get 404 (was true, is false)",
    ),
    (
        widgets(WITH_EVERYTHING),
        changed(lambda raw: raw["subresources"].pop("scale")),
        "spec.versions[v1].subresources.scale: the subresource was removed: clients that scale get 404",
    ),
    (
        widgets(WITH_EVERYTHING),
        changed(lambda raw: raw["subresources"]["scale"].update(specReplicasPath=".spec.other")),
        (
            "spec.versions[v1].subresources.scale.specReplicasPath: scale reads another field "
            '(was ".spec.size", is ".spec.other")'
        ),
    ),
    (
        widgets(WITH_EVERYTHING),
        changed(lambda raw: raw["subresources"]["scale"].pop("labelSelectorPath")),
        (
            "spec.versions[v1].subresources.scale.labelSelectorPath: scale reads another field "
            '(was ".status.selector", is not set)'
        ),
    ),
    (
        widgets(WITH_EVERYTHING),
        changed(lambda raw: raw["additionalPrinterColumns"].pop()),
        "spec.versions[v1].additionalPrinterColumns[Age]: the column was removed",
    ),
    (
        widgets(WITH_EVERYTHING),
        changed(lambda raw: raw["additionalPrinterColumns"][1].update(priority=1)),
        (
            "spec.versions[v1].additionalPrinterColumns[Age]: the column changed "
            '(was {"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}, '
            'is {"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp","priority":1})'
        ),
    ),
    (
        widgets(WITH_EVERYTHING),
        changed(lambda raw: raw.pop("selectableFields")),
        "spec.versions[v1].selectableFields[.spec.size]: field selectors by this field are refused",
    ),
    (
        widgets(),
        changed(
            lambda raw: raw["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["size"].update(minimum=1),
            version(),
        ),
        (
            "spec.versions[v1].schema.openAPIV3Schema.properties[spec].properties[size].minimum: numbers below 1 are refused "
            "(was 0, is 1)"
        ),
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), NARROWER, ids=[case[2][:60] for case in NARROWER])
def test_a_definition_that_serves_less_breaks_clients_unless_it_is_narrowed_for_both(
    old: Raw, new: Raw, said: str
) -> None:
    assert breaks(old, new) == [said]
    common = lowest_common_definition(old, new)
    assert breaks(common, old) == breaks(common, new) == []
    assert breaks(lowest_common_definition(new, old), common) == []
    default_definition(common)
    assert validate_definition(common) == []


def test_the_common_definition_has_no_status_and_only_the_metadata_that_is_its_own() -> None:
    old = {**widgets(WITH_EVERYTHING), "status": {"storedVersions": ["v1"]}}
    assert lowest_common_definition(old, widgets(WITH_EVERYTHING)) == {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            **widgets(WITH_EVERYTHING)["spec"],
            "names": {**widgets()["spec"]["names"], "singular": "widget", "listKind": "WidgetList"},
            "conversion": {"strategy": "None"},
        },
    }


DIFFERENT = [
    (
        widgets(scope="Cluster"),
        'spec.scope: the scope changed: objects have other paths (was "Namespaced", is "Cluster")',
    ),
    (named(kind="Gadget"), 'spec.names.kind: the kind was renamed (was "Widget", is "Gadget")'),
    (named(listKind="Widgets"), 'spec.names.listKind: the kind of lists was renamed (was "WidgetList", is "Widgets")'),
    (named(singular="w"), 'spec.names.singular: the singular name changed (was "widget", is "w")'),
    (widgets(new=1), "spec.new: the field changed and cannot be compared (was not set, is 1)"),
    (
        widgets(version(new=1)),
        "spec.versions[v1].new: the field changed and cannot be compared (was not set, is 1)",
    ),
    (
        widgets(version(subresources={"status": {}})),
        "spec.versions[v1].subresources.status: the subresource was added: the status in other writes is ignored",
    ),
]


@pytest.mark.parametrize(("new", "said"), DIFFERENT, ids=[case[1][:60] for case in DIFFERENT])
def test_definitions_that_contradict_each_other_have_no_common_definition(new: Raw, said: str) -> None:
    assert said in breaks(widgets(), new)
    with pytest.raises(NoCommonSchemaError) as caught:
        lowest_common_definition(widgets(), new)
    assert said in str(caught.value)


def test_another_way_of_conversion_matters_if_there_are_versions_to_convert() -> None:
    client = {"url": "https://example.com/convert"}
    webhook: Raw = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}}
    both = (version(), version("v2", storage=False))
    said = breaks(widgets(*both), widgets(*both, conversion=webhook))
    assert said == [
        'spec.conversion.strategy: objects are converted between versions in another way (was "None", is "Webhook")'
    ]
    assert breaks(widgets(), widgets(conversion=webhook)) == []
    other = {**webhook, "webhook": {**webhook["webhook"], "clientConfig": {"url": "https://example.org/convert"}}}
    assert breaks(widgets(*both, conversion=webhook), widgets(*both, conversion=other)) == []


def test_a_version_that_is_not_served_is_needed_while_objects_are_stored_in_it() -> None:
    old = widgets(version(), version("v1beta1", storage=False, served=False))
    assert breaks(old, widgets()) == []
    stored = {**old, "status": {"storedVersions": ["v1beta1", "v1"]}}
    assert breaks(stored, widgets()) == [
        "spec.versions[v1beta1]: the version was removed, and objects may be stored in it"
    ]


def test_without_a_common_storage_version_it_is_the_preferred_one() -> None:
    kept = [version(name, storage=False) for name in ("v1beta1", "v2")]
    common = lowest_common_definition(widgets(version("v3"), *kept), widgets(version("v4"), *kept))
    assert [(each["name"], each["storage"]) for each in common["spec"]["versions"]] == [
        ("v1beta1", False),
        ("v2", True),
    ]


def test_definitions_without_a_common_version_have_no_common_definition() -> None:
    with pytest.raises(NoCommonSchemaError) as caught:
        lowest_common_definition(widgets(), widgets(version("v2")))
    assert str(caught.value).startswith('spec.versions: no version is served by both (was ["v1"], is ["v2"])')


def test_an_invalid_definition_is_not_compared() -> None:
    for bad, words in (
        (widgets(scope="Galaxy"), "spec.scope: Unsupported value"),
        ({"kind": "CustomResourceDefinition"}, "spec"),
        (widgets(version("v1", schema={})), "schema.openAPIV3Schema: Required value"),
    ):
        with pytest.raises(InvalidSchemaError, match=words):
            compare_definitions(widgets(), bad)
        with pytest.raises(InvalidSchemaError, match=words):
            lowest_common_definition(bad, widgets())


def test_the_approval_of_a_protected_group_stays() -> None:
    old = widgets()
    old["metadata"] = {"name": "widgets.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved, test"}}
    old["spec"]["group"] = "k8s.io"
    assert lowest_common_definition(old, old)["metadata"] == old["metadata"]
