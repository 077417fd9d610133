"""``python -m bench.auditing``: what audit events cost a create, beside the same server without an audit policy.

    python -m bench.auditing --rounds 10 --seconds 1

The policy has the level Metadata for everything, so that a create has two events, ``RequestReceived`` and ``ResponseComplete``,
which are written to a file. Both servers run the whole time and get the same creates in turns. What counts is the processor time
of the server for one create: other work on the machine disturbs it less than the rate. Needs wrk.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import uvloop

from bench.__main__ import WIDGETS, prepare
from bench.load import fresh_name, wrk
from bench.processes import Server, kcp_server, processor_seconds

_POLICY: Final = """\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: Metadata
"""
CONNECTIONS: Final = (1, 16)
_EVENTS: Final = 2
"""Events of a create."""
_PATIENCE: Final = 30.0


def _flags(folder: Path) -> Sequence[str]:
    """The flags of the server that audits."""
    policy = folder / "policy.yaml"
    policy.write_text(_POLICY)
    return ("--audit-policy-file", str(policy), "--audit-log-path", str(folder / "audit.log"))


def _create(server: Server, connections: int, seconds: float) -> tuple[float, int]:
    """Send creates; return the processor time of one in microseconds, and their number. Raises RuntimeError."""
    before = processor_seconds(server.pid)
    step = wrk(
        server.peer, WIDGETS, connections=connections, seconds=seconds, work="create", prefix=fresh_name("audited")
    )
    if step.failures:
        raise RuntimeError(f"{server.peer.name}: {step.failures} creates failed")
    return (processor_seconds(server.pid) - before) / step.requests * 1e6, step.requests


def _events(log: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in log.parent.glob(f"{log.stem}*{log.suffix}"))


def _check_events(log: Path, before: int, expected: int) -> None:
    """Check that every create has its events; the last ones are written a moment after the response. Raises RuntimeError."""
    until = time.monotonic() + _PATIENCE
    while (found := _events(log) - before) < expected:
        if time.monotonic() > until:
            raise RuntimeError(f"there are {found} events, of {expected}")
        time.sleep(0.1)


def row(label: str, without: Sequence[float], audited: Sequence[float]) -> str:
    """A line of the table: medians in microseconds, and the median, lowest and highest ratio of a round."""
    ratios = [second / first for first, second in zip(without, audited, strict=True)]
    spread = f"({min(ratios):.3f} to {max(ratios):.3f})"
    medians = (
        f"{statistics.median(without):>12,.1f}{statistics.median(audited):>12,.1f}{statistics.median(ratios):>10.3f}"
    )
    return f"{label:<28}{medians}  {spread}"


def main() -> None:
    """Parse the arguments, run, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.auditing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each number of connections")
    parser.add_argument("--seconds", type=float, default=1, help="duration of each measurement; whole seconds")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kcp-bench-")))
        without = stack.enter_context(kcp_server(name="without"))
        audited = stack.enter_context(kcp_server(_flags(folder), name="audited"))
        for server in (without, audited):
            uvloop.run(prepare(server.peer))
        print(f"{'processor time of a create':<28}{'without':>12}{'audited':>12}{'ratio':>10}  (lowest to highest)")
        for connections in CONNECTIONS:
            _measure(without, audited, folder / "audit.log", connections, options)


def _measure(without: Server, audited: Server, log: Path, connections: int, options: argparse.Namespace) -> None:
    """Measure both servers in turns, and print the line. Raises RuntimeError when an event is missing."""
    found: dict[str, list[float]] = {without.peer.name: [], audited.peer.name: []}
    events, creates = _events(log), 0
    for number in range(options.rounds):
        for server in (without, audited) if number % 2 == 0 else (audited, without):
            cost, count = _create(server, connections, options.seconds)
            found[server.peer.name].append(cost)
            creates += count if server is audited else 0
    _check_events(log, events, _EVENTS * creates)
    print(row(f"{connections} connections (us)", found[without.peer.name], found[audited.peer.name]), flush=True)


if __name__ == "__main__":
    main()
