"""Which imports an API is made of: the strategies, what is published, what a user enforces."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from kcp.multicluster.negotiation.api import UpdateStrategy, strategy_of
from kcp.multicluster.negotiation.comparisons import Comparisons, UnfinishedError, message_of
from kcp.multicluster.negotiation.rules import Offer, enforce, negotiate
from kcp.multicluster.negotiation.specs import CommonSpec
from tests.multicluster.negotiation.apis import Raw, offer, properties_of, widgets, with_spec

NEVER, UNPUBLISHED, PUBLISHED = UpdateStrategy
WIDE, NARROW, OTHER = widgets("a", "b"), widgets("a"), widgets("a", "c")


@pytest.fixture
def comparisons() -> Comparisons:
    return Comparisons()


@pytest.mark.parametrize(
    ("strategy", "published", "accepted"),
    [
        (NEVER, False, False),
        (NEVER, True, False),
        (UNPUBLISHED, False, True),
        (UNPUBLISHED, True, False),
        (PUBLISHED, False, True),
        (PUBLISHED, True, True),
    ],
)
def test_the_strategy_says_when_an_import_may_narrow(
    comparisons: Comparisons, strategy: UpdateStrategy, published: bool, accepted: bool
) -> None:
    offers = [offer("east", WIDE, settled=True), offer("west", NARROW, strategy)]
    found = negotiate(WIDE, offers, comparisons, published=published)
    assert properties_of(found.spec) == ({"a"} if accepted else {"a", "b"})
    message = "spec.openAPIV3Schema.properties[spec].properties[b]: the property was removed: it is pruned from objects"
    assert found.rejected == ({} if accepted else {"west": (message,)})


@pytest.mark.parametrize("strategy", UpdateStrategy)
@pytest.mark.parametrize("published", [False, True])
def test_an_import_that_serves_more_is_accepted_and_widens_nothing(
    comparisons: Comparisons, strategy: UpdateStrategy, published: bool
) -> None:
    offers = [offer("east", NARROW, settled=True), offer("west", WIDE, strategy)]
    assert negotiate(NARROW, offers, comparisons, published=published) == (NARROW, {})


@pytest.mark.parametrize("published", [False, True])
def test_an_import_is_accepted_that_narrows_no_more_than_a_later_one(comparisons: Comparisons, published: bool) -> None:
    offers = [offer("east", WIDE, settled=True), offer("west", NARROW, NEVER), offer("south", NARROW, PUBLISHED)]
    assert negotiate(WIDE, offers, comparisons, published=published) == (NARROW, {})


@pytest.mark.parametrize("strategy", UpdateStrategy)
def test_the_first_import_is_the_api(comparisons: Comparisons, strategy: UpdateStrategy) -> None:
    assert negotiate(None, [offer("east", NARROW, strategy)], comparisons, published=False) == (NARROW, {})


def test_the_api_widens_when_the_narrow_cluster_goes(comparisons: Comparisons) -> None:
    left = [offer("east", WIDE, settled=True)]
    assert negotiate(NARROW, left, comparisons, published=True) == (WIDE, {})


def test_a_published_api_stays_without_a_cluster_that_can_run_it(comparisons: Comparisons) -> None:
    left = [offer("west", NARROW)]
    found = negotiate(WIDE, left, comparisons, published=True)
    assert (found.spec, set(found.rejected)) == (WIDE, {"west"})
    assert negotiate(WIDE, left, comparisons, published=False) == (NARROW, {})
    assert negotiate(WIDE, [offer("west", NARROW, PUBLISHED)], comparisons, published=True) == (NARROW, {})


def test_a_cluster_that_is_upgraded_widens_the_api_that_it_alone_serves(comparisons: Comparisons) -> None:
    assert negotiate(NARROW, [offer("east", WIDE)], comparisons, published=True) == (WIDE, {})


def test_a_settled_import_stays_when_its_strategy_has_become_stricter(comparisons: Comparisons) -> None:
    offers = [offer("east", WIDE, settled=True), offer("west", NARROW, UNPUBLISHED)]
    assert negotiate(NARROW, offers, comparisons, published=True) == (NARROW, {})


@pytest.mark.parametrize("published", [False, True])
def test_what_has_nothing_in_common_is_rejected_whatever_the_strategy(
    comparisons: Comparisons, published: bool
) -> None:
    number = widgets(openAPIV3Schema=with_spec({"type": "object", "properties": {"a": {"type": "integer"}}}))
    offers = [offer("east", WIDE, settled=True), offer("west", number, PUBLISHED)]
    found = negotiate(WIDE, offers, comparisons, published=published)
    assert found.spec == WIDE
    ((message,),) = found.rejected.values()
    path = "spec.openAPIV3Schema.properties[spec].properties[a].type"
    assert message == f'{path}: the type changed (was "string", is "integer")'


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"scope": "Cluster"}, "spec.scope"),
        ({"kind": "Gadget"}, "spec.kind"),
        ({"listKind": "Widgets"}, "spec.listKind"),
        ({"singular": "gadget"}, "spec.singular"),
        ({"subResources": [{"name": "status"}]}, "spec.subResources.status"),
    ],
)
def test_scope_names_and_subresources_are_compared(
    comparisons: Comparisons, changed: dict[str, object], path: str
) -> None:
    offers = [offer("east", WIDE, settled=True), offer("west", widgets("a", "b", **changed), PUBLISHED)]
    found = negotiate(WIDE, offers, comparisons, published=False)
    assert found.spec == WIDE
    assert any(message.startswith(f"{path}: ") for message in found.rejected["west"]), found.rejected


def test_how_kubectl_prints_objects_is_that_of_the_oldest_import(comparisons: Comparisons) -> None:
    columns = [{"name": "A", "type": "string", "jsonPath": ".spec.a"}]
    printed = widgets("a", "b", columnDefinitions=columns, shortNames=["wd"], categories=["all"])
    for first, second in itertools.permutations((printed, WIDE)):
        found = negotiate(None, [offer("east", first), offer("west", second)], comparisons, published=False)
        assert found == (first, {})
        settled = [offer("east", first), offer("west", second, settled=True)]
        assert negotiate(second, settled, comparisons, published=True) == (first, {})


def test_a_description_that_cannot_be_served_is_rejected(comparisons: Comparisons) -> None:
    invalid = widgets(openAPIV3Schema={"type": "object", "properties": {"spec": {"type": "tuple"}}})
    found = negotiate(None, [offer("east", invalid)], comparisons, published=False)
    assert found.spec is None
    assert found.rejected["east"][0].startswith("spec.openAPIV3Schema.properties[spec].type: Unsupported value")
    found = negotiate(None, [offer("east", invalid), offer("west", WIDE)], comparisons, published=False)
    assert (found.spec, set(found.rejected)) == (WIDE, {"east"})


def test_an_enforced_api_is_narrowed_by_no_strategy(comparisons: Comparisons) -> None:
    offers = [offer("east", WIDE), offer("west", NARROW, PUBLISHED, settled=True), offer("south", OTHER)]
    found = enforce(WIDE, offers, comparisons)
    assert (found.spec, set(found.rejected)) == (WIDE, {"west", "south"})


def test_the_order_in_which_imports_are_seen_does_not_matter(comparisons: Comparisons) -> None:
    offers = [
        offer("east", WIDE),
        offer("west", NARROW, UNPUBLISHED),
        offer("north", OTHER, PUBLISHED),
        offer("south", WIDE, NEVER),
    ]
    expected = negotiate(None, offers, comparisons, published=False)
    assert (properties_of(expected.spec), expected.rejected) == ({"a"}, {})
    for seen in itertools.permutations(range(4)):
        known: list[Offer] = []
        current = None
        for number in seen:
            known = sorted(
                [*known, offers[number]], key=lambda each: ("east", "west", "north", "south").index(each.name)
            )
            outcome = negotiate(current, known, comparisons, published=False)
            known = [each._replace(settled=each.name not in outcome.rejected) for each in known]
            current = outcome.spec
        if offers[3].name not in outcome.rejected:  # its strategy lets it narrow nothing, so it counts who came first
            assert outcome == expected


def test_equal_descriptions_are_compared_once(comparisons: Comparisons) -> None:
    offers = [offer(f"cluster-{number}", widgets("a", "b")) for number in range(100)]
    negotiate(None, offers, comparisons, published=False)
    assert comparisons.computed == 1
    negotiate(WIDE, offers, comparisons, published=True)
    assert comparisons.computed == 1


def test_the_memory_of_comparisons_is_bounded() -> None:
    comparisons = Comparisons(memory=20_000)
    for number in range(100):
        comparisons.compare(widgets("a", f"b{number}"), NARROW)
    assert comparisons.computed == 100
    comparisons.compare(widgets("a", "b99"), NARROW)
    assert comparisons.computed == 100
    comparisons.compare(widgets("a", "b0"), NARROW)
    assert comparisons.computed == 101


def test_a_negotiation_that_is_limited_goes_on_where_it_ended(comparisons: Comparisons) -> None:
    offers = [offer(f"cluster-{number}", widgets("a", f"b{number}")) for number in range(10)]
    attempts = 0
    outcome = None
    while outcome is None:
        attempts += 1
        with contextlib.suppress(UnfinishedError), comparisons.limited_to(4):
            outcome = negotiate(None, offers, comparisons, published=False)
    assert (attempts, properties_of(outcome.spec)) == (5, {"a"})
    assert comparisons.computed == 19
    assert outcome == negotiate(None, offers, Comparisons(), published=False)


def test_comparisons_that_are_closed_only_answer_what_they_know(comparisons: Comparisons) -> None:
    known = comparisons.compare(WIDE, NARROW)
    comparisons.close()
    assert comparisons.compare(WIDE, NARROW) == known
    with pytest.raises(UnfinishedError):
        comparisons.compare(WIDE, OTHER)


def test_a_message_has_as_many_incompatibilities_as_a_condition_takes() -> None:
    assert message_of(("a: b", "c: d")) == "a: b; c: d"
    message = message_of(tuple(f"spec.field{number}: " + "x" * 100 for number in range(1000)))
    assert message.startswith("spec.field0: ")
    assert message.endswith(" more")
    assert len(message) < 5000
    assert len(message_of(("x" * 100_000,))) < 5000


def test_an_unknown_strategy_is_the_strictest() -> None:
    assert strategy_of("UpdateAlways") is NEVER
    assert strategy_of(None) is NEVER


LISTED: Raw = {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}}
KEYED: Raw = {
    "type": "array",
    "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
MAPPED: Raw = {"type": "object", "properties": {"b": {"type": "string"}}}


def with_property(schema: Raw) -> CommonSpec:
    return widgets(openAPIV3Schema=with_spec({"type": "object", "properties": {"a": schema}}))


def test_unique_keys_of_a_list_narrow_the_api(comparisons: Comparisons) -> None:
    free, keyed = with_property(LISTED), with_property(KEYED)
    assert comparisons.compare(keyed, free).common == keyed
    found = comparisons.compare(free, keyed)
    assert found.common == keyed
    assert any("x-kubernetes-list-type: the list merges differently" in each for each in found.breaks)


def test_how_maps_merge_makes_no_cluster_incompatible(comparisons: Comparisons) -> None:
    granular, atomic = with_property(MAPPED), with_property({**MAPPED, "x-kubernetes-map-type": "atomic"})
    assert comparisons.compare(granular, atomic) == (granular, (), ())
    assert comparisons.compare(atomic, granular) == (atomic, (), ())
