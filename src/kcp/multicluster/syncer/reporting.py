"""What the cluster says of an object, written upstream: the status, annotations, and why it does not have its present state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kcp.client import NotFoundError, RetryError, StatusError
from kcp.client.errors import described
from kcp.client.objects import Object
from kcp.multicluster.placement import SYNC_ERROR_ANNOTATION
from kcp.multicluster.syncer import upstream
from kcp.multicluster.syncer.comparisons import digest
from kcp.multicluster.syncer.ownership import annotations_of, metadata_of
from kcp.multicluster.syncer.shared_state import now
from kcp.multicluster.syncer.sides import Sides
from kcp.multicluster.syncer.statuses import Problem, Written, status_for_source, with_problem, without_problem_time
from kcp.multicluster.syncer.transforms import FIELD_PREFIX, field_annotations

_REFUSED: Final = (413, 422)
"""The codes of responses that refuse a status: what the cluster says is too large, or no status of this type."""


async def report(sides: Sides, live: Object | None, problem: Problem | None) -> None:
    """Write upstream what the cluster says. Raises RetryError if there is a problem, StatusError, ClientError."""
    if problem is not None:
        sides.shared.metrics.problems.inc()
        _record(sides, problem)
    if sides.is_assigned:
        await sides.patch_source(held=True, annotations=annotations_for(sides, live or {}, problem))
        if sides.synced.has_status:
            await _write_status(sides, live, problem)
    if problem is not None:
        raise RetryError(str(problem))


def annotations_for(sides: Sides, live: Mapping[str, Any], problem: Problem | None) -> dict[str, str | None]:
    """Return the annotations upstream: what the cluster decided, and the problem; None for those to remove."""
    found: dict[str, str | None] = {
        key: None
        for key in annotations_of(sides.present_source)
        if key.startswith(FIELD_PREFIX) or key == SYNC_ERROR_ANNOTATION
    }
    found |= field_annotations(live, sides.synced.rules)
    if problem is not None:
        found[SYNC_ERROR_ANNOTATION] = str(problem)
    return found


def _record(sides: Sides, problem: Problem) -> None:
    resource = sides.synced.pair.upstream
    regarding = {**sides.present_source, "apiVersion": resource.api_version, "kind": resource.kind}
    sides.shared.recorder.event(regarding, "Warning", problem.reason, problem.message)


async def _write_status(sides: Sides, live: Object | None, problem: Problem | None) -> None:
    source, shared, key = sides.present_source, sides.shared, sides.key
    before = source.get("status") or {}
    wanted = with_problem(before, before, problem)
    if live is not None:
        wanted = status_for_source(live, before, problem)
    comparable = digest(without_problem_time(wanted))
    if wanted == before or _is_written(sides, comparable):
        return
    uid = str(metadata_of(source)["uid"])
    try:
        written = await upstream.write_status(
            shared.client, key, sides.synced.pair.upstream, uid, wanted, shared.manager
        )
    except NotFoundError as error:
        raise RetryError(str(error)) from error
    except StatusError as error:
        if error.code not in _REFUSED:
            raise
        if error.code == 413 or (error.details or {}).get("name"):  # else another object has the name by now
            _record(sides, Problem("StatusNotWritten", described(error)))
        raise RetryError(str(error)) from error
    shared.statuses[key] = Written.of(comparable, source, written, now() + shared.lag)


def _is_written(sides: Sides, wanted: str) -> bool:
    """Return whether a status was written. Raises RetryError if the cache does not show that yet."""
    last = sides.shared.statuses.get(sides.key)
    if last is None or last.wanted != wanted:
        return False
    if last.is_missed_by(sides.present_source, now()):
        raise RetryError("the status was written, and the cache does not show it yet")
    return last.is_shown_by(sides.present_source)
