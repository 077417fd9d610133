"""What is decided for an object, and that no deletion is decided without all three proofs."""

from __future__ import annotations

import itertools

import pytest

from kcp.multicluster.syncer.decisions import Copy, Source, State, Step, decide
from kcp.multicluster.syncer.ownership import Identity

IDENTITY = Identity("root", "lc-1", "east", "cluster-1")
LOCATOR = IDENTITY.locator("shop", "web", "u-1")
OTHERS = (
    None,
    LOCATOR._replace(logical_cluster_uid="lc-2"),
    LOCATOR._replace(cluster_uid="cluster-2"),
    LOCATOR._replace(namespace="other"),
    LOCATOR._replace(name="other"),
    LOCATOR._replace(uid=""),
)
SOURCE = Source("u-1", wanted=True, held=True)
COPY = Copy("d-1", marked=True, locator=LOCATOR)


def state(
    source: Source | None,
    copy: Copy | None,
    *,
    complete: bool = True,
    source_read: bool = False,
    copy_read: bool = False,
) -> State:
    return State(IDENTITY, ("shop", "web"), complete, source, source_read, copy, copy_read)


@pytest.mark.parametrize(
    ("known", "step"),
    [
        # a wanted object without a copy: first whether its place is free, then the finalizer, then the copy
        (state(SOURCE._replace(held=False), None), Step.READ_COPY),
        (state(SOURCE._replace(held=False), None, copy_read=True), Step.HOLD),
        (state(SOURCE, None, copy_read=True), Step.APPLY),
        # a copy is kept current also before everything is known
        (state(SOURCE, COPY, complete=False), Step.APPLY),
        (state(SOURCE._replace(held=False), COPY), Step.HOLD),
        # its mark is repaired; what has no locator is somebody else's
        (state(SOURCE, COPY._replace(marked=False)), Step.APPLY),
        (state(SOURCE, COPY._replace(locator=None)), Step.READ_COPY),
        (state(SOURCE, COPY._replace(locator=None), copy_read=True), Step.CONFLICT),
        (state(SOURCE, COPY._replace(deleting=True)), Step.NOTHING),
        # the copy of a former object of the name goes first
        (state(SOURCE._replace(uid="u-2"), COPY), Step.READ_SOURCE),
        (state(SOURCE._replace(uid="u-2"), COPY, source_read=True), Step.DELETE),
        # an unwanted object
        (state(None, COPY), Step.READ_SOURCE),
        (state(None, COPY, complete=False), Step.NOTHING),
        (state(None, COPY, source_read=True), Step.DELETE),
        (state(SOURCE._replace(wanted=False), COPY, source_read=True), Step.DELETE),
        (state(SOURCE._replace(deleting=True), COPY), Step.READ_SOURCE),
        (state(SOURCE._replace(deleting=True), COPY, source_read=True), Step.DELETE),
        (state(None, COPY._replace(deleting=True)), Step.NOTHING),
        (state(None, COPY._replace(locator=None)), Step.READ_SOURCE),
        (state(None, COPY._replace(locator=None), source_read=True), Step.NOTHING),
        # the finalizer goes when the copy is gone, by a read: the cache has only what is marked
        (state(SOURCE._replace(deleting=True), None), Step.READ_COPY),
        (state(SOURCE._replace(deleting=True), None, copy_read=True), Step.RELEASE),
        (state(SOURCE._replace(deleting=True, held=False), None), Step.NOTHING),
        (state(None, None), Step.READ_SOURCE),
        (state(None, None, source_read=True), Step.NOTHING),
        # the cache said absent, the server says assigned
        (state(SOURCE, COPY, source_read=True), Step.APPLY),
    ],
)
def test_one_step_follows_from_what_is_known(known: State, step: Step) -> None:
    assert decide(known) is step


BOTH = (False, True)
SOURCES = (None, *(Source(*each) for each in itertools.product(("u-1", "u-2"), BOTH, BOTH, BOTH)))
LOCATORS = (LOCATOR, LOCATOR._replace(uid="u-2"), *OTHERS)
COPIES = (None, *(Copy("d-1", *each) for each in itertools.product(BOTH, LOCATORS, BOTH)))
STATES = [
    state(source, copy, complete=complete, source_read=source_read, copy_read=copy_read)
    for source, copy, complete, source_read, copy_read in itertools.product(SOURCES, COPIES, BOTH, BOTH, BOTH)
]
"""All that can be known of an object, as far as a decision differs by it."""


def states_before(step: Step) -> list[State]:
    """The states in which a step is decided."""
    found = [each for each in STATES if decide(each) is step]
    assert found
    return found


def test_a_deletion_has_three_proofs() -> None:
    for known in states_before(Step.DELETE):
        copy, source = known.copy, known.source
        assert copy is not None
        assert copy.marked
        assert copy.locator in (LOCATOR, LOCATOR._replace(uid="u-2"))
        assert known.source_read
        assert known.complete
        is_wanted = source is not None and source.wanted and not source.deleting
        assert not (is_wanted and source is not None and copy.locator is not None and source.uid == copy.locator.uid)


def test_what_is_not_the_syncers_is_never_written() -> None:
    for known in states_before(Step.APPLY):
        assert known.copy is None or known.copy.locator in (LOCATOR, LOCATOR._replace(uid="u-2"))


def test_the_finalizer_stays_while_there_may_be_a_copy() -> None:
    for known in states_before(Step.RELEASE):
        assert known.copy_read
        assert known.copy is None or not known.copy.marked or known.copy.locator in OTHERS


def test_every_read_leads_to_a_decision() -> None:
    for known in STATES:
        seen = []
        while (step := decide(known)) in (Step.READ_SOURCE, Step.READ_COPY, Step.HOLD):
            assert step not in seen
            seen.append(step)
            if step is Step.HOLD and known.source is not None:
                known = known._replace(source=known.source._replace(held=True))
            known = known._replace(
                source_read=known.source_read or step is Step.READ_SOURCE,
                copy_read=known.copy_read or step is Step.READ_COPY,
            )
