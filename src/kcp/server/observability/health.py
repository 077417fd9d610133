"""``/livez``, ``/readyz`` and ``/healthz``, with single checks below them.

Follows the Kubernetes page "Kubernetes API health endpoints": ``?verbose`` lists the checks, ``?exclude=name`` leaves one
out, ``/livez/<check>`` asks one. The process is alive unless a check says otherwise; it is ready between the end of its
start and the beginning of its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

Check = Callable[[], str | None]
"""None when all is well, otherwise what is wrong."""


class Verdict(NamedTuple):
    """The answer to a health request."""

    status: int
    text: str


class Health:
    """The checks of a server, by name and in order."""

    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        """``ready`` are the checks of readiness beside those of life."""
        self._checks = {"livez": dict(live), "healthz": dict(live), "readyz": {**live, **ready}}

    def answer(self, endpoint: str, check: str = "", *, verbose: bool = False, exclude: list[str]) -> Verdict | None:
        """The verdict of an endpoint or of one check of it; None where there is no such check."""
        checks = self._checks[endpoint]
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
        unknown = sorted(f'"{name}"' for name in set(exclude) - set(checks))
        if unknown:
            lines.append(f"warn: some health checks cannot be excluded: no matches for {', '.join(unknown)}")
        if failed:
            return Verdict(500, "\n".join([*lines, f"{endpoint} check failed", ""]))
        if verbose and not check:
            return Verdict(200, "\n".join([*lines, f"{endpoint} check passed", ""]))
        return Verdict(200, "ok")

    def paths(self) -> list[str]:
        """Every path that is answered."""
        return [path for end, checks in self._checks.items() for path in (f"/{end}", *(f"/{end}/{c}" for c in checks))]
