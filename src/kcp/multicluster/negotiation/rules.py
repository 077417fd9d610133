"""The rules of negotiation: which imports an API is made of, and what is common to them. Pure functions.

An import is *accepted* when its cluster can run the negotiated API. The negotiated description is the lowest common one of the
accepted imports, so it widens again when one of them goes. A new or changed import is accepted if it does not narrow what is
served, or if its strategy permits that. What is served, once published, is narrowed in no other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kcp.multicluster.negotiation.api import UpdateStrategy
from kcp.multicluster.negotiation.comparisons import Comparisons
from kcp.multicluster.negotiation.specs import CommonSpec


class Offer(NamedTuple):
    """What an import offers, in the order in which imports were created.

    settled  whether this description was accepted before
    """

    name: str
    spec: CommonSpec
    strategy: UpdateStrategy
    settled: bool = False


class Outcome(NamedTuple):
    """The negotiated description, None without any; and by the name of each rejected import, why it is incompatible."""

    spec: CommonSpec | None
    rejected: dict[str, tuple[str, ...]]


def negotiate(
    current: CommonSpec | None, offers: Sequence[Offer], comparisons: Comparisons, *, published: bool
) -> Outcome:
    """Negotiate a description from imports.

    ``current`` is the description so far, None where there is none or where it is to be negotiated from the start. While it is
    published, it stays as it is without an accepted import.
    """
    outcome = _negotiate_once(current, offers, comparisons, published=published)
    while outcome.rejected:
        # a later import may have narrowed the description to one that a rejected import does not narrow
        settled = [offer._replace(settled=offer.name not in outcome.rejected) for offer in offers]
        again = _negotiate_once(outcome.spec, settled, comparisons, published=published)
        if len(again.rejected) >= len(outcome.rejected):
            break
        outcome = again
    return outcome


def _negotiate_once(
    current: CommonSpec | None, offers: Sequence[Offer], comparisons: Comparisons, *, published: bool
) -> Outcome:
    accepting = _Acceptance(current if published else None, comparisons)
    accepting.accept([offer for offer in offers if offer.settled])
    accepting.accept(offers)
    if accepting.common is None:
        return Outcome(accepting.floor, accepting.rejected)
    # in the order of creation, so that descriptions and columns are those of the first import, whatever was settled when
    accepted = [offer.spec for offer in offers if offer.name in accepting.accepted]
    return Outcome(comparisons.fold(accepted) or accepting.common, accepting.rejected)


class _Acceptance:
    """Imports that are accepted one after the other, with what is common to them.

    floor  what is served, which imports may only narrow as far as their strategies permit
    """

    def __init__(self, floor: CommonSpec | None, comparisons: Comparisons) -> None:
        self.floor = floor
        self.common: CommonSpec | None = None
        self.accepted: set[str] = set()
        self.rejected: dict[str, tuple[str, ...]] = {}
        self._comparisons = comparisons

    def accept(self, offers: Sequence[Offer]) -> None:
        """Accept each import that is not accepted yet, in this order, if it can be.

        Each one that is accepted may leave out a field on which others differ, so those are tried again.
        """
        before = -1
        while len(self.accepted) != before:
            before = len(self.accepted)
            for offer in offers:
                if offer.name not in self.accepted:
                    self._try(offer)

    def _try(self, offer: Offer) -> None:
        comparisons = self._comparisons
        problems = comparisons.problems(offer.spec)
        if not problems and not offer.settled:
            problems = _objections(offer, self.floor or self.common, comparisons, published=self.floor is not None)
        common = offer.spec
        if not problems and self.common is not None:
            compared = comparisons.compare(self.common, offer.spec)
            if compared.common is None:
                problems = compared.obstacles
            else:
                common = compared.common
        if problems:
            self.rejected[offer.name] = problems
            return
        self.rejected.pop(offer.name, None)
        self.accepted.add(offer.name)
        self.common = common


def _objections(
    offer: Offer, floor: CommonSpec | None, comparisons: Comparisons, *, published: bool
) -> tuple[str, ...]:
    """Return why a new or changed import is not accepted: it narrows more than its strategy permits."""
    if floor is None:
        return ()
    compared = comparisons.compare(floor, offer.spec)
    if compared.common == floor:
        return ()
    if not offer.strategy.may_narrow(published=published):
        return compared.breaks
    return compared.obstacles


def enforce(enforced: CommonSpec, offers: Sequence[Offer], comparisons: Comparisons) -> Outcome:
    """Compare imports with the description in a definition that a user has applied. It is never narrowed."""
    rejected = {}
    for offer in offers:
        compared = comparisons.compare(enforced, offer.spec)
        if compared.common != enforced:
            rejected[offer.name] = compared.breaks or compared.obstacles
    return Outcome(enforced, rejected)
