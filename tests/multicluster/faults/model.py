"""The model of a history: what watches have shown of sources and copies, and what users did.

Every write of a user puts a unique step into an annotation, which the syncer copies: ``<logical cluster>/<name>/<number>``. Times
are those of one clock (`time.monotonic` of the recording process).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from kcp.multicluster.placement import Locator

UP = "kcp"
"""The side of the sources. The other sides are Kubernetes clusters."""
NAME = "east"
"""The name of the Cluster in each logical cluster, and of its side."""
STEP = "faults.example.com/step"
"""The annotation with the step."""


class Place(NamedTuple):
    """Where an object is. ``logical_cluster`` is empty in a Kubernetes cluster."""

    side: str
    logical_cluster: str
    resource: str
    namespace: str
    name: str


class Seen(NamedTuple):
    """An object as a watch has shown it; ``gone`` if it has vanished.

    Of a source: ``cluster`` is the Cluster that it is assigned to, ``held`` whether it has a finalizer or a label of a syncer.
    Of a copy: ``locator`` and ``mark``. ``status`` is the number of ready copies of a workload, ``replicas`` the wanted one.
    """

    at: float
    place: Place
    uid: str
    step: str
    gone: bool = False
    deleting: bool = False
    cluster: str = ""
    held: bool = False
    locator: Locator | None = None
    mark: str = ""
    replicas: int = 0
    ready: int = 0


class Lost(NamedTuple):
    """From now on a side shows another state: it was replaced, or restored from a backup."""

    at: float
    side: str


class Act(NamedTuple):
    """A user was about to delete an object, to take it from its cluster, or to remove a copy behind the syncer's back."""

    at: float
    uid: str


@dataclass(slots=True)
class History:
    """Everything recorded, in the order in which it was seen. ``side_of`` is the side of a Cluster at the end, by its UID."""

    events: list[Seen | Lost] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    side_of: dict[str, str] = field(default_factory=dict)

    def summary(self) -> str:
        """Counts, in one line."""
        sides = {event.place.side for event in self.events if isinstance(event, Seen)}
        return f"{len(self.events)} events of {len(sides)} sides, {len(self.acts)} deletions and releases by users"


class Fault(StrEnum):
    """The kinds of violations."""

    WRONGLY_DELETED = "copy deleted though its source is wanted"
    WRONG_SOURCE = "copy does not belong to exactly one source"
    FOREIGN = "object of somebody else was touched"
    LEFT_BEHIND = "left behind"
    MISSING = "wanted object has no copy"
    DIFFERENT = "both sides differ"


class Violation(NamedTuple):
    """A violation, with a message that names the object."""

    fault: Fault
    message: str
