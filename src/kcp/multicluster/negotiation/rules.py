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
    floor = current if published else None
    common: CommonSpec | None = None
    rejected: dict[str, tuple[str, ...]] = {}
    for offer in sorted(offers, key=lambda offer: not offer.settled):
        problems = comparisons.problems(offer.spec)
        if not problems and not offer.settled:
            problems = _objections(offer, floor or common, comparisons, published=floor is not None)
        if not problems and common is not None:
            compared = comparisons.compare(common, offer.spec)
            common, problems = (compared.common, ()) if compared.common is not None else (common, compared.obstacles)
        if problems:
            rejected[offer.name] = problems
            continue
        common = common or offer.spec
    if common is None:
        return Outcome(floor, rejected)
    # in the order of creation, so that descriptions and columns are those of the first import, whatever was settled when
    accepted = [offer.spec for offer in offers if offer.name not in rejected]
    return Outcome(comparisons.fold(accepted) or common, rejected)


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
