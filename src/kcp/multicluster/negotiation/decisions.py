"""The decisions on an API: one for each version, and one for its definition. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kcp.multicluster.negotiation.comparisons import Comparisons
from kcp.multicluster.negotiation.publishing import (
    Published,
    choose,
    is_as_wanted,
    is_negotiated,
    wanted_definition,
)
from kcp.multicluster.negotiation.records import Negotiated, State
from kcp.multicluster.negotiation.rules import enforce, negotiate
from kcp.multicluster.negotiation.specs import CommonSpec, specs_of
from kcp.schema.raw_schemas import Definition


class Decision(NamedTuple):
    """The decision on one version.

    spec      the description of the negotiated resource; None if there is to be none
    publish   its field ``publish``
    enforced  whether a user's definition serves the version
    rejected  by the name of each rejected import, why it is incompatible
    """

    spec: CommonSpec | None
    publish: bool
    enforced: bool
    rejected: Mapping[str, tuple[str, ...]]


def decide(
    states: Mapping[str, State], definition: Definition | None, comparisons: Comparisons, *, auto_publish: bool
) -> dict[str, Decision]:
    """Decide on each version of an API. ``definition`` is the present one."""
    enforced: Mapping[str, CommonSpec] = {}
    if definition is not None and not is_negotiated(definition):
        enforced = specs_of(definition)
    return {
        version: _decide(state, enforced.get(version), comparisons, auto_publish=auto_publish)
        for version, state in states.items()
    }


def _decide(state: State, enforced: CommonSpec | None, comparisons: Comparisons, *, auto_publish: bool) -> Decision:
    negotiated = state.negotiated
    offers = [each.offer() for each in state.imports]
    if enforced is not None:
        outcome = enforce(enforced, offers, comparisons)
        return Decision(outcome.spec if offers else None, True, True, outcome.rejected)
    # a description that was enforced ends with the user's definition
    fresh = negotiated is None or negotiated.deleting or negotiated.is_true("Enforced")
    published = not fresh and negotiated is not None and (negotiated.publish or negotiated.is_true("Published"))
    current = negotiated.spec if negotiated is not None and not fresh else None
    outcome = negotiate(current, offers, comparisons, published=published)
    publish = auto_publish if fresh or negotiated is None else negotiated.publish
    return Decision(outcome.spec if offers else None, publish, False, outcome.rejected)


class DefinitionChange(NamedTuple):
    """The decision on a definition.

    wanted    what to write; None to write nothing
    withdraw  whether the definition is to be deleted
    refused   by version, why a definition cannot serve it
    """

    wanted: Definition | None = None
    withdraw: bool = False
    refused: Mapping[str, str] = {}


def decide_definition(definition: Definition | None, negotiated: Mapping[str, Negotiated]) -> DefinitionChange:
    """Decide on the definition of an API, from the negotiated resources that are to stay, by version."""
    if definition is not None and not is_negotiated(definition):
        unserved = set(negotiated) - set(specs_of(definition))
        reason = "a user has applied the CustomResourceDefinition, which does not serve this version"
        return DefinitionChange(refused=dict.fromkeys(unserved, reason))
    candidates = [
        Published(version, each.name, each.uid, each.spec) for version, each in negotiated.items() if each.publish
    ]
    chosen, refused = choose(candidates)
    if definition is not None and definition["metadata"].get("deletionTimestamp"):
        return DefinitionChange(refused=refused)
    if not chosen:
        return DefinitionChange(withdraw=definition is not None, refused=refused)
    wanted = wanted_definition(definition, chosen)
    if definition is not None and is_as_wanted(definition, wanted):
        return DefinitionChange(refused=refused)
    return DefinitionChange(wanted, refused=refused)
