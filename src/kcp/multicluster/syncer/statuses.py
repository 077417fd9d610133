"""The status upstream: that of the copy, in the generations of the source, with a condition if the copy is not current.

Pure functions. A controller downstream writes which generation of the copy it has observed. Upstream, the number must be one of
the source, or ``kubectl rollout status`` would take an old status for a present one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from kcp.api.times import now
from kcp.client.errors import StatusError, described
from kcp.client.versions import is_older
from kcp.multicluster.conditions import condition_of
from kcp.multicluster.syncer.comparisons import digest
from kcp.multicluster.syncer.ownership import annotations_of, metadata_of
from kcp.multicluster.syncer.transforms import GENERATION_ANNOTATION

SYNCED: Final = "Synced"
"""The type of the condition. It is there while the cluster does not have the present state of the object."""


_GENERATION: Final = re.compile("[0-9]{1,18}")
_REASON: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_MESSAGE: Final = 1024
"""Characters of a message, as in Events."""


class Problem(NamedTuple):
    """Why the cluster does not have the present state of an object."""

    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


def problem_of(error: Exception, otherwise: str = "Refused", prefix: str = "") -> Problem:
    """Return the problem of a failed request: the reason of its Status, else ``otherwise``. The server is not trusted."""
    reason = error.reason if isinstance(error, StatusError) and _REASON.fullmatch(error.reason) else otherwise
    return Problem(reason, f"{prefix}{described(error)}"[:_MESSAGE])


def status_for_source(live: Mapping[str, Any], before: Mapping[str, Any], problem: Problem | None) -> dict[str, Any]:
    """Return the status of an object upstream from its copy. ``before`` is its present status."""
    found = live.get("status")
    status = dict(found) if isinstance(found, dict) else {}
    generations = _Generations.of(live)
    if generations is not None:
        status = _translated(status, before, generations)
        if isinstance(status.get("conditions"), list):
            status["conditions"] = [
                _translated(each, condition_of(before.get("conditions"), _type_of(each)), generations)
                for each in status["conditions"]
            ]
    return with_problem(status, before, problem)


def with_problem(status: dict[str, Any], before: Mapping[str, Any], problem: Problem | None) -> dict[str, Any]:
    """Return a status with the condition of a problem, or without it."""
    conditions = status.get("conditions")
    listed = conditions if isinstance(conditions, list) else []
    others = [each for each in listed if not (isinstance(each, dict) and each.get("type") == SYNCED)]
    if problem is not None:
        return {**status, "conditions": [*others, _condition(problem, before)]}
    if len(others) != len(listed):
        status = {name: value for name, value in status.items() if name != "conditions"}
        return {**status, "conditions": others} if others else status
    return status


def without_problem_time(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return a status without the time of the condition of a problem, which is new if a server has dropped the condition."""
    conditions = status.get("conditions")
    if not isinstance(conditions, list):
        return dict(status)
    timeless = [
        {name: value for name, value in each.items() if name != "lastTransitionTime"}
        if isinstance(each, dict) and each.get("type") == SYNCED
        else each
        for each in conditions
    ]
    return {**status, "conditions": timeless}


def _condition(problem: Problem, before: Mapping[str, Any]) -> dict[str, Any]:
    found = condition_of(before.get("conditions"), SYNCED)
    since = found.get("lastTransitionTime") if found.get("status") == "False" else None
    return {
        "type": SYNCED,
        "status": "False",
        "reason": problem.reason,
        "message": problem.message,
        "lastTransitionTime": since or now(),
    }


class Written(NamedTuple):
    """A status that was written upstream: its digest, and that of what the server made of it.

    ``since`` and ``until`` are the versions of the object before and after the write, ``expires`` a time after which a cache must
    have shown the write.
    """

    wanted: str
    status: str
    since: str
    until: str
    expires: float

    @classmethod
    def of(cls, wanted: str, before: Mapping[str, Any], after: Mapping[str, Any], expires: float) -> Written:
        """Return what is remembered of a write, by the object before and after it."""
        since, until = (str(metadata_of(each).get("resourceVersion")) for each in (before, after))
        return cls(wanted, digest(after.get("status") or {}), since, until, expires)

    def is_shown_by(self, found: Mapping[str, Any]) -> bool:
        """Return whether an object has the status."""
        return digest(found.get("status") or {}) == self.status

    def is_missed_by(self, found: Mapping[str, Any], at: float) -> bool:
        """Return whether an object, as a cache has it at a time, is from before the write. A restored backup is not."""
        version = str(metadata_of(found).get("resourceVersion"))
        return at < self.expires and is_older(version, self.until) and not is_older(version, self.since)


class _Generations(NamedTuple):
    """The generation of a copy, and the generation of the source that it shows."""

    copy: int
    source: int

    @classmethod
    def of(cls, live: Mapping[str, Any]) -> _Generations | None:
        generation, shown = metadata_of(live).get("generation"), annotations_of(live).get(GENERATION_ANNOTATION)
        if not isinstance(generation, int) or not isinstance(shown, str) or not _GENERATION.fullmatch(shown):
            return None
        return cls(generation, int(shown))

    def translate(self, observed: int, before: int | None) -> int:
        """Return the generation of the source that was observed.

        Of an earlier one only that it is earlier is known, and which one was observed ``before``.
        """
        if observed >= self.copy:
            return self.source
        return min(observed if before is None else before, max(self.source - 1, 0))


def _translated(holder: Any, before: Mapping[str, Any], generations: _Generations) -> Any:
    """Return a status or a condition whose observed generation is one of the source. ``before`` is the present one upstream."""
    observed, known = _observed_generation(holder), _observed_generation(before)
    return holder if observed is None else {**holder, "observedGeneration": generations.translate(observed, known)}


def _type_of(condition: Any) -> str:
    return str(condition.get("type")) if isinstance(condition, Mapping) else ""


def _observed_generation(holder: Any) -> int | None:
    found = holder.get("observedGeneration") if isinstance(holder, Mapping) else None
    return found if type(found) is int else None
