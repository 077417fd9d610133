"""``/livez``, ``/readyz`` and ``/healthz``, with single checks below them.

Follows the Kubernetes page "Kubernetes API health endpoints": ``?verbose`` lists the checks, ``?exclude=name`` skips one,
``/livez/<check>`` runs one. The server is live unless a check fails; it is ready from the end of its start until it shuts down.
A note is a fault that does not make the server unready, since it serves everything else: ``/readyz`` shows it and succeeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

Check = Callable[[], str | None]
"""Returns None when the check passes, else the problem."""

ENDPOINTS: Final = ("healthz", "livez", "readyz")


class HealthResponse(NamedTuple):
    """The response to a health request."""

    status: int
    text: str


class Health:
    """The checks of a server, by name and in order."""

    def __init__(
        self, live: Mapping[str, Check], ready: Mapping[str, Check], notes: Mapping[str, Check] | None = None
    ) -> None:
        """``live`` are the checks of all endpoints, ``ready`` further ones of ``/readyz``, and ``notes`` its notes."""
        self._checks = {"livez": dict(live), "healthz": dict(live), "readyz": {**live, **ready}}
        self._notes = dict(notes or {})

    def answer(
        self, endpoint: str, check: str = "", *, verbose: bool = False, exclude: list[str], trusted: bool = False
    ) -> HealthResponse | None:
        """Run the checks of an endpoint, or one of them. None when there is no such check.

        A note, which may name objects, is shown in full only to a ``trusted`` client. Asked for alone, it is a check.
        """
        checks = self._checks[endpoint]
        notes = self._notes if endpoint == "readyz" else {}
        if check in notes:
            problem = notes[check]()
            return (
                HealthResponse(200, "ok")
                if problem is None
                else HealthResponse(500, f"{_noted(check, problem, trusted)}\n")
            )
        if check:
            if check not in checks:
                return None
            checks = {check: checks[check]}
        lines, failed = [], False
        for name, run in checks.items():
            if name in exclude:
                lines.append(f"[+]{name} excluded: ok")
                continue
            problem = run()
            lines.append(f"[+]{name} ok" if problem is None else f"[-]{name} failed: {problem}")
            failed = failed or problem is not None
        if not check:
            lines += [_noted(name, run(), trusted) for name, run in notes.items()]
        unknown = sorted(f'"{name}"' for name in set(exclude) - set(checks))
        if unknown:
            lines.append(f"warn: some health checks cannot be excluded: no matches for {', '.join(unknown)}")
        if failed:
            return HealthResponse(500, "\n".join([*lines, f"{endpoint} check failed", ""]))
        if verbose and not check:
            return HealthResponse(200, "\n".join([*lines, f"{endpoint} check passed", ""]))
        return HealthResponse(200, "ok")

    def paths(self, endpoint: str) -> list[str]:
        """Return the paths of an endpoint and of its checks."""
        notes = self._notes if endpoint == "readyz" else ()
        return [f"/{endpoint}", *(f"/{endpoint}/{check}" for check in (*self._checks[endpoint], *notes))]


def _noted(name: str, problem: str | None, trusted: bool) -> str:
    if problem is None:
        return f"[+]{name} ok"
    return f"[!]{name} noted: {problem if trusted else 'reason withheld'}"
