"""The flags of the splitter, which ``kcp start`` and ``kcp deployment-splitter`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags

if TYPE_CHECKING:
    from kcp.multicluster.splitter import Policy

Command = Callable[..., Any]
DEFAULTS: Final[dict[str, Any]] = {"split_by": "equal", "minimum_per_cluster": 0}
"""The flags, and what they are where they are not given."""


def splitter_flags(heading: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the flags under a heading."""
    group = flags.group(heading)
    split_by = group(
        "--split-by",
        default=DEFAULTS["split_by"],
        metavar="RULE",
        help="Weights of clusters: equal, label:<key> (a number in a label of the Cluster) or allocatable:<resource>. The "
        "annotation workload.kcp.io/split-by of an object goes before this.",
    )
    minimum = group(
        "--minimum-per-cluster",
        default=DEFAULTS["minimum_per_cluster"],
        type=click.IntRange(0, 1_000_000),
        metavar="N",
        help="Copies that each cluster gets before the others are spread by weight, while there are enough. The annotation "
        "workload.kcp.io/minimum-per-cluster of an object goes before this.",
    )
    return lambda command: split_by(minimum(command))


def take_splitter_choices(choices: dict[str, Any]) -> dict[str, Any]:
    """Remove the flags from the choices of a command, and return them."""
    return {name: choices.pop(name) for name in DEFAULTS}


def policy_of(taken: dict[str, Any]) -> Policy:
    """Return the policy that the flags are. Raises UsageError."""
    from kcp.multicluster.splitter import InvalidPolicyError, Policy, check_split_by

    try:
        return Policy(check_split_by(taken["split_by"]), taken["minimum_per_cluster"])
    except InvalidPolicyError as error:
        raise click.UsageError(f"--split-by: {error}") from None
