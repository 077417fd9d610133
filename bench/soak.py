"""``python -m bench.soak``: a busy server under load for some minutes, and whether its memory and files stay constant.

    python -m bench.soak --minutes 20                               on SQLite
    python -m bench.soak --minutes 20 --etcd-servers http://...     over an etcd cluster

It starts a server of its own and keeps it busy at a moderate rate: logical clusters come and go, some with a definition of
their own; objects are created, changed, listed and deleted; watches open, end and open again. The number of objects stays the
same, so everything else should. Memory, files, threads and answer times are sampled. Linux only.

The rule: after the warm-up (a third of the time), resident memory and the size of the server's directory count as flat when
the median of the last third of the samples is at most 5 % or ``--tolerance-megabytes`` (whichever is more) above the median of
the first third. Open files and threads may not rise by more than 10. Every request must have been answered as expected.
The exit code is 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import uvloop

from bench.churn import Churn
from bench.client import Connection
from bench.processes import Server, kcp_server

WARM_UP: Final = 1 / 3
SHARE: Final = 0.05
COUNT_TOLERANCE: Final = 10
FEWEST_SAMPLES: Final = 9
_PROBE_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Sample:
    """The state of the server at one moment; rates and times are those since the previous sample."""

    seconds: float
    memory_mb: float
    directory_mb: float
    open_files: float
    threads: float
    requests_per_second: float
    longest_answer_ms: float


HEADINGS: Final = (
    "time (s)",
    "memory (MB)",
    "directory (MB)",
    "open files",
    "threads",
    "requests/s",
    "longest /livez (ms)",
)


@dataclass(frozen=True)
class Judgement:
    """One line of the verdict: a quantity in the first and the last third after the warm-up, and its slope."""

    what: str
    first: float
    last: float
    allowed: float
    per_hour: float

    @property
    def flat(self) -> bool:
        """Whether the quantity keeps the rule."""
        return self.last - self.first <= self.allowed

    def __str__(self) -> str:
        verdict = "flat" if self.flat else "NOT FLAT"
        return (
            f"{self.what}: {self.first:.1f} in the first third, {self.last:.1f} in the last, slope {self.per_hour:+.2f} an hour; "
            f"allowed {self.allowed:.1f} more: {verdict}"
        )


def judge(samples: Sequence[Sample], tolerance_megabytes: float) -> list[Judgement]:
    """Apply the rule to samples taken after the warm-up, at least `FEWEST_SAMPLES` of them."""
    measured = [sample for sample in samples if sample.seconds >= samples[-1].seconds * WARM_UP]
    third = len(measured) // 3
    judgements = []
    for what, read, in_megabytes in _JUDGED:
        first = statistics.median(read(sample) for sample in measured[:third])
        last = statistics.median(read(sample) for sample in measured[-third:])
        allowed = max(first * SHARE, tolerance_megabytes) if in_megabytes else COUNT_TOLERANCE
        times = [sample.seconds / 3600 for sample in measured]
        slope = statistics.linear_regression(times, [read(sample) for sample in measured]).slope
        judgements.append(Judgement(what, first, last, allowed, slope))
    return judgements


_JUDGED: Final[tuple[tuple[str, Callable[[Sample], float], bool], ...]] = (
    ("resident memory (MB)", lambda sample: sample.memory_mb, True),
    ("size of the directory (MB)", lambda sample: sample.directory_mb, True),
    ("open files", lambda sample: sample.open_files, False),
    ("threads", lambda sample: sample.threads, False),
)


class Sampler:
    """Samples a server's process, and measures the latency of a health request ten times a second."""

    def __init__(self, server: Server, churn: Churn) -> None:
        self._server, self._churn = server, churn
        self._start = self._last = time.monotonic()
        self._done = churn.requests
        self._longest = 0.0
        self.samples: list[Sample] = []

    async def probe(self) -> None:
        """Send health requests until cancelled; keep the longest round trip, which includes waits for the event loop."""
        async with Connection(self._server.peer) as connection:
            while True:
                begun = time.perf_counter()
                status, _ = await connection.request("GET", "/livez")
                self._longest = max(self._longest, time.perf_counter() - begun)
                if status != 200:
                    self._churn.problems.append(f"/livez gave {status}")
                await asyncio.sleep(_PROBE_SECONDS)

    def take(self) -> Sample:
        """Take one sample."""
        now, process = time.monotonic(), Path("/proc") / str(self._server.pid)
        threads = next(line for line in (process / "status").read_text().splitlines() if line.startswith("Threads:"))
        sample = Sample(
            now - self._start,
            self._server.resident_megabytes(),
            self._server.file_megabytes(),
            len(list((process / "fd").iterdir())),
            int(threads.split()[1]),
            (self._churn.requests - self._done) / max(now - self._last, 1e-9),
            self._longest * 1000,
        )
        self._last, self._done, self._longest = now, self._churn.requests, 0.0
        self.samples.append(sample)
        return sample


async def soak(
    server: Server, *, seconds: float, rate: float, every: float, clusters: int
) -> tuple[list[Sample], Churn]:
    """Keep a server busy for a time; return the samples, and a summary of the clients. SIGTERM cancels it."""
    this = asyncio.current_task()
    assert this is not None
    # an exception raised by an ordinary handler could be mistaken for an error of a connection
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    churn = Churn(server.peer, rate)
    await churn.prepare(clusters)
    sampler = Sampler(server, churn)
    print(_row(HEADINGS))
    work = [asyncio.create_task(each) for each in (churn.run(), sampler.probe())]
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not any(task.done() for task in work):
        await asyncio.wait(work, timeout=min(every, left), return_when=asyncio.FIRST_COMPLETED)
        sample = sampler.take()
        print(_row([f"{getattr(sample, field.name):,.1f}" for field in fields(sample)]), flush=True)
    for task in work:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task  # an error of a client ends the soak
    return sampler.samples, churn


def _row(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>20}" for cell in cells)


def main() -> int:
    """Parse the arguments, run, print, judge."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=float, default=200, help="requests a second, approximately")
    parser.add_argument("--sample-seconds", type=float, default=10)
    parser.add_argument("--tolerance-megabytes", type=float, default=4, help="increase that still counts as flat")
    parser.add_argument("--history-retention", default="120s", help="the server's --history-retention")
    parser.add_argument(
        "--filling-clusters",
        type=int,
        default=2500,
        help="logical clusters created and deleted before the run, to fill caches",
    )
    parser.add_argument("--etcd-servers", default="", help="run the server on this etcd cluster")
    options = parser.parse_args()
    if options.minutes * 60 / options.sample_seconds < FEWEST_SAMPLES:
        parser.error(f"a verdict takes at least {FEWEST_SAMPLES} samples: raise --minutes or lower --sample-seconds")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped too
    arguments = ["--history-retention", options.history_retention]
    if options.etcd_servers:
        arguments += ["--etcd-servers", options.etcd_servers]
    with kcp_server(arguments) as server:
        try:
            samples, churn = uvloop.run(
                soak(
                    server,
                    seconds=options.minutes * 60,
                    rate=options.rate,
                    every=options.sample_seconds,
                    clusters=options.filling_clusters,
                )
            )
        except asyncio.CancelledError:
            return 1
    print(churn.summary())
    judgements = judge(samples, options.tolerance_megabytes)
    for judgement in judgements:
        print(judgement)
    for problem in churn.problems[:20]:
        print(f"problem: {problem}")
    return 0 if all(judgement.flat for judgement in judgements) and not churn.problems else 1


if __name__ == "__main__":
    sys.exit(main())
