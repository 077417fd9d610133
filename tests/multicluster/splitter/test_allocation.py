"""The rule by which copies are spread over clusters: the properties of a divisor method with bounds."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kcp.multicluster.splitter.allocation import UNBOUNDED, Share, allocate

NAMES = [f"cluster-{number}" for number in range(8)]
BOUNDED = st.builds(
    Share,
    st.sampled_from(NAMES),
    st.one_of(st.integers(0, 5), st.integers(0, 10**9)),
    st.integers(0, 5),
    st.one_of(st.just(UNBOUNDED), st.integers(0, 20)),
)
SHARES = st.lists(BOUNDED, max_size=8, unique_by=lambda share: share.cluster)
OPEN = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 100), min_size=1).map(
    lambda weights: [Share(name, weight) for name, weight in weights.items()]
)
COPIES = st.integers(0, 60)


@given(COPIES, SHARES)
def test_the_sum_is_exact_unless_all_are_at_their_maximum(copies: int, shares: list[Share]) -> None:
    found = allocate(copies, shares)
    counted = shares if not any(share.weight and share.maximum for share in shares) else [s for s in shares if s.weight]
    assert sum(found.values()) == min(copies, sum(share.maximum for share in counted))
    assert all(0 <= found.get(share.cluster, 0) <= share.maximum for share in shares)


@given(COPIES, OPEN)
def test_no_cluster_gets_less_than_its_share_rounded_down(copies: int, shares: list[Share]) -> None:
    found, total = allocate(copies, shares), sum(share.weight for share in shares)
    assert all(found[share.cluster] >= copies * share.weight // total for share in shares)


@given(COPIES, st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_equal_clusters_differ_by_one_copy_at_most(copies: int, names: list[str]) -> None:
    found = allocate(copies, [Share(name) for name in names]).values()
    assert max(found) - min(found) <= 1


@given(COPIES, SHARES, st.text(max_size=3))
def test_one_more_copy_moves_no_other(copies: int, shares: list[Share], seed: str) -> None:
    before, after = allocate(copies, shares, seed), allocate(copies + 1, shares, seed)
    assert all(after[cluster] - before[cluster] in (0, 1) for cluster in before)


@given(COPIES, SHARES, st.text(max_size=3), st.randoms())
def test_the_result_depends_on_no_order(copies: int, shares: list[Share], seed: str, random: object) -> None:
    shuffled = list(shares)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert allocate(copies, shares, seed) == allocate(copies, shuffled, seed)


@given(COPIES, OPEN, st.integers(1, 5))
def test_a_minimum_is_met_while_there_are_enough_copies(copies: int, shares: list[Share], minimum: int) -> None:
    found = allocate(copies, [share._replace(minimum=minimum) for share in shares])
    if copies >= minimum * len(shares):
        assert min(found.values()) >= minimum
    else:
        assert max(found.values()) <= minimum


@given(COPIES, SHARES)
def test_no_other_cluster_has_a_larger_claim_to_a_copy(copies: int, shares: list[Share]) -> None:
    found = allocate(copies, shares)
    weighted = [share for share in shares if share.cluster in found]
    level = sum(min(share.minimum, share.maximum) for share in weighted) > copies
    for giving in weighted:
        for taking in weighted:
            has, gets = found[giving.cluster], found[taking.cluster] + 1
            if level:
                assert gets > min(taking.minimum, taking.maximum) or has <= gets
            elif has > giving.minimum and gets <= taking.maximum and any(share.weight for share in weighted):
                claims = Fraction(giving.weight or 1, has), Fraction(taking.weight or 1, gets)
                assert claims[0] >= claims[1]


def test_odd_copies_of_many_objects_are_spread() -> None:
    shares = [Share(name) for name in NAMES[:3]]
    first = [allocate(1, shares, f"object-{number}") for number in range(300)]
    assert all(sum(each[name] for each in first) > 60 for name in NAMES[:3])


def test_any_number_of_copies_is_allocated_at_once() -> None:
    assert allocate(2**31 - 1, [Share("a", 3), Share("b", 1)]) == {"a": 1610612736, "b": 536870911}


def test_shares_of_the_reference() -> None:
    assert sorted(allocate(10, [Share("a"), Share("b"), Share("c")]).values()) == [3, 3, 4]
    assert sorted(allocate(2, [Share("a"), Share("b"), Share("c")]).values()) == [0, 1, 1]
    assert allocate(10, [Share("a"), Share("b")]) == {"a": 5, "b": 5}
    assert allocate(15, [Share("east", 2), Share("west", 3)]) == {"east": 6, "west": 9}
    assert allocate(3, []) == {}
