"""The condition ``Ready`` of a Cluster. Pure functions."""

from __future__ import annotations

from typing import Final, NamedTuple

from kcp.multicluster.clusters.api import ConditionType, Reason
from kcp.multicluster.conditions import Condition

_LASTING: Final = frozenset({Reason.INVALID_KUBECONFIG, Reason.ERROR_CREATING_CLIENT})
"""The reasons of failures that time does not mend."""
READY_MESSAGE: Final = "Syncer ready"
"""The message of a cluster that is ready, and of which nothing has failed since."""
_INSTALLING: Final = "Installing syncer on cluster"


class Failure(NamedTuple):
    """A step that failed, and how long all attempts at it have failed, in seconds."""

    reason: Reason
    message: str
    seconds: float


class SyncerState(NamedTuple):
    """The state of a Cluster's syncer: ``problem`` says what is wrong with it, ``reason`` in one word; ``installing``: it is new.

    ``independent``: it does not need the cluster controller's connection to the cluster. ``advice`` says what to do when there
    are no heartbeats.
    """

    problem: str = ""
    installing: bool = False
    independent: bool = False
    reason: Reason = Reason.SYNCER_NOT_READY
    advice: str = ""


def readiness(
    failure: Failure | None, syncer: SyncerState, heartbeat: Condition, *, was_ready: bool, threshold: float
) -> Condition:
    """Return the condition ``Ready``.

    A cluster that was ready stays so for ``threshold`` seconds of failures, as it does without heartbeats: whoever places objects
    moves them when it is not.
    """
    if failure is not None:
        alive = heartbeat.status is True
        tolerated = failure.reason not in _LASTING and was_ready and (syncer.independent or failure.seconds < threshold)
        if not (alive and tolerated):
            return Condition(ConditionType.READY, False, failure.reason, failure.message)
        return Condition(ConditionType.READY, True, Reason.SYNCER_READY, f"{READY_MESSAGE}, but: {failure.message}")
    if syncer.installing:
        if heartbeat.status is True:  # it runs, whatever was found some seconds ago
            return Condition(ConditionType.READY, True, Reason.SYNCER_READY, READY_MESSAGE)
        return Condition(ConditionType.READY, None, Reason.SYNCER_INSTALLING, syncer.problem or _INSTALLING)
    if syncer.problem and not (heartbeat.status is True and was_ready):
        return Condition(ConditionType.READY, False, syncer.reason, syncer.problem)
    if heartbeat.status is not True:
        message = f"{heartbeat.message}: {syncer.advice}" if syncer.advice else heartbeat.message
        return Condition(ConditionType.READY, False, Reason.ERROR_HEARTBEAT, message)
    return Condition(ConditionType.READY, True, Reason.SYNCER_READY, syncer.problem or READY_MESSAGE)
