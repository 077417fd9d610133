"""``/livez``, ``/readyz`` and ``/healthz``, with single checks below them.

Follows the Kubernetes page "Kubernetes API health endpoints": ``?verbose`` lists the checks, ``?exclude=name`` skips one,
``/livez/<check>`` runs one. The server is live unless a check fails; it is ready from the end of its start until it shuts down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

Check = Callable[[], str | None]
"""Returns None when the check passes, else the problem."""

ENDPOINTS: Final = ("healthz", "livez", "readyz")


class Verdict(NamedTuple):
    """The response to a health request."""

    status: int
    text: str


class Health:
    """The checks of a server, by name and in order."""

    def __init__(self, live: Mapping[str, Check], ready: Mapping[str, Check]) -> None:
        """``live`` are the checks of all endpoints, ``ready`` further ones of ``/readyz``."""
        self._checks = {"livez": dict(live), "healthz": dict(live), "readyz": {**live, **ready}}

    def answer(self, endpoint: str, check: str = "", *, verbose: bool = False, exclude: list[str]) -> Verdict | None:
        """Run the checks of an endpoint, or one of them. None when there is no such check."""
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

    def paths(self, endpoint: str) -> list[str]:
        """Return the paths of an endpoint and of its checks."""
        return [f"/{endpoint}", *(f"/{endpoint}/{check}" for check in self._checks[endpoint])]
