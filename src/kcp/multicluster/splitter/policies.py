"""How a root object wants to be split: by its annotations, or else by the settings of the splitter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kcp.api.names import is_qualified_name
from kcp.api.selectors import LabelSelector, parse_label_selector
from kcp.multicluster.placement import GROUP
from kcp.multicluster.splitter.clusters import Cluster, amount

SPLIT_BY_ANNOTATION: Final = f"{GROUP}/split-by"
"""``equal``, ``label:<key>`` or ``allocatable:<resource>``."""
MINIMUM_ANNOTATION: Final = f"{GROUP}/minimum-per-cluster"
SELECTOR_ANNOTATION: Final = f"{GROUP}/cluster-selector"
"""A label selector of Clusters."""
EQUAL: Final = "equal"
_LABEL: Final = "label"
_ALLOCATABLE: Final = "allocatable"
_MAX_WEIGHT: Final = 10**9
_MAX_MINIMUM: Final = 10**6


class InvalidPolicyError(ValueError):
    """An annotation or a setting does not say how to split; the message names it."""


@dataclass(frozen=True)
class Policy:
    """How an object is split: weights of clusters, copies that each gets first, and which clusters are used."""

    split_by: str = EQUAL
    minimum: int = 0
    selector: LabelSelector | None = None

    def weight(self, cluster: Cluster) -> int:
        """Return the weight of a cluster. A label that is missing, or no number, is a weight of one."""
        kind, _, name = self.split_by.partition(":")
        if kind == _ALLOCATABLE:
            return amount(cluster, name)
        if kind == _LABEL:
            value = cluster.labels.get(name, "")
            return min(int(value), _MAX_WEIGHT) if value.isascii() and value.isdigit() else 1
        return 1

    def uses(self, cluster: Cluster) -> bool:
        """Return whether objects may be placed on a cluster."""
        return self.selector is None or self.selector.matches(cluster.labels)


def check_split_by(value: str) -> str:
    """Return a rule for weights. Raises InvalidPolicyError."""
    kind, _, name = value.partition(":")
    if value == EQUAL or (kind == _LABEL and not is_qualified_name(name)) or (kind == _ALLOCATABLE and name):
        return value
    raise InvalidPolicyError(f'"{value[:100]}" must be equal, label:<key> or allocatable:<resource>')


def policy_of(annotations: Mapping[str, str], default: Policy) -> Policy:
    """Return the policy of an object. Raises InvalidPolicyError."""
    try:
        return Policy(
            check_split_by(annotations.get(SPLIT_BY_ANNOTATION, default.split_by)),
            _minimum(annotations.get(MINIMUM_ANNOTATION), default.minimum),
            _selector(annotations.get(SELECTOR_ANNOTATION), default.selector),
        )
    except InvalidPolicyError as error:
        raise InvalidPolicyError(f"annotations of {GROUP}: {error}") from None


def _minimum(value: str | None, default: int) -> int:
    if value is None:
        return default
    if not (value.isascii() and value.isdigit()) or len(value) > len(str(_MAX_MINIMUM)):
        raise InvalidPolicyError(f'the minimum per cluster "{value[:100]}" must be a number up to {_MAX_MINIMUM}')
    return int(value)


def _selector(value: str | None, default: LabelSelector | None) -> LabelSelector | None:
    if value is None:
        return default
    try:
        return parse_label_selector(value)
    except ValueError as error:
        raise InvalidPolicyError(f"the selector of clusters: {error}") from None
