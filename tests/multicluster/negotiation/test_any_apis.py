"""Properties of negotiation over generated schemas: every cluster understands every object of the negotiated API."""

from __future__ import annotations

from random import Random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from kcp.multicluster.negotiation.api import UpdateStrategy
from kcp.multicluster.negotiation.comparisons import Comparisons
from kcp.multicluster.negotiation.rules import Offer, Outcome, negotiate
from kcp.multicluster.negotiation.specs import CommonSpec
from tests.multicluster.negotiation.apis import widgets
from tests.schema.any_schemas import any_object
from tests.schema.test_any_pair import assert_understands, family, stored

OBJECTS = 8
_GIVEN_DEFAULT = "objects get the default of the new property"
"""Why an import is incompatible with an API that has left out a field before the import came, which has a default for it."""
randoms = st.randoms(use_true_random=True)


def any_offers(random: Random) -> list[Offer]:
    """Two to five imports whose schemas differ a little."""
    schemas = family(random, random.randint(2, 5))
    strategies = list(UpdateStrategy)
    return [
        Offer(f"cluster-{number}", widgets(openAPIV3Schema=schema), random.choice(strategies))
        for number, schema in enumerate(schemas)
    ]


def settled(offers: list[Offer], outcome: Outcome) -> list[Offer]:
    return [offer._replace(settled=offer.name not in outcome.rejected) for offer in offers]


def assert_all_understand(random: Random, spec: CommonSpec, offers: list[Offer], outcome: Outcome) -> None:
    """Each accepted cluster keeps every object that the API accepts."""
    schema = spec.fields()["openAPIV3Schema"]
    clusters = [offer.spec.fields()["openAPIV3Schema"] for offer in offers if offer.name not in outcome.rejected]
    for _ in range(OBJECTS):
        obj = stored(schema, any_object(random, random.choice([schema, *clusters])))
        if obj is not None:
            for cluster in clusters:
                assert_understands(cluster, obj, schema)


@given(randoms)
@settings(max_examples=60, deadline=None)
def test_every_accepted_cluster_understands_every_object(random: Random) -> None:
    offers, comparisons = any_offers(random), Comparisons()
    outcome = negotiate(None, offers, comparisons, published=False)
    event(f"{len(offers) - len(outcome.rejected)} of {len(offers)} accepted")
    assert outcome.spec is not None
    assert_all_understand(random, outcome.spec, offers, outcome)


@given(randoms)
@settings(max_examples=60, deadline=None)
def test_a_negotiation_that_is_repeated_changes_nothing(random: Random) -> None:
    offers, comparisons = any_offers(random), Comparisons()
    published = random.random() < 0.5
    first = negotiate(None, offers, comparisons, published=False)
    again = negotiate(first.spec, settled(offers, first), comparisons, published=published)
    assert again.spec == first.spec
    assert again.rejected.keys() == first.rejected.keys()


@given(randoms)
@settings(max_examples=60, deadline=None)
def test_objects_of_a_published_api_stay_valid_unless_an_import_may_narrow_it(random: Random) -> None:
    offers, comparisons = any_offers(random), Comparisons()
    first = negotiate(None, offers[:1], comparisons, published=False)
    assert first.spec is not None
    before = first.spec.fields()["openAPIV3Schema"]
    joined = [
        offers[0]._replace(settled=True),
        *(each._replace(strategy=UpdateStrategy.UNPUBLISHED) for each in offers[1:]),
    ]
    second = negotiate(first.spec, joined, comparisons, published=True)
    assert second.spec == first.spec
    # the first cluster goes
    third = negotiate(second.spec, settled(joined, second)[1:], comparisons, published=True)
    assert third.spec is not None
    after = third.spec.fields()["openAPIV3Schema"]
    event("the API has widened" if after != before else "the API is the same")
    for _ in range(OBJECTS):
        obj = stored(before, any_object(random, before))
        if obj is not None:
            assert_understands(after, obj, before)


@given(randoms)
@settings(max_examples=40, deadline=None)
def test_imports_that_may_narrow_are_all_accepted_in_the_end_in_any_order(random: Random) -> None:
    offers, comparisons = any_offers(random), Comparisons()
    offers = [each._replace(strategy=UpdateStrategy.PUBLISHED) for each in offers]
    whole = negotiate(None, offers, comparisons, published=False)
    if whole.rejected:
        event("something has nothing in common")
        return
    event("all have something in common")
    known: list[Offer] = []
    current: CommonSpec | None = None
    for seen in random.sample(offers, len(offers)):
        known = sorted([*known, seen])
        outcome = negotiate(current, known, comparisons, published=random.random() < 0.5 and current is not None)
        known, current = settled(known, outcome), outcome.spec
    assert current is not None
    # two may have nothing in common before a third one leaves out the field on which they differ
    missing = [each for each in known if not each.settled]
    if any(_GIVEN_DEFAULT in why for each in missing for why in comparisons.compare(current, each.spec).obstacles):
        event("a default comes too late")
        return
    assert [each.name for each in missing] == []
    assert current == whole.spec
