"""The request load, made by wrk on one core: one step is one kind of request for some seconds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.client import Peer

SCRIPT = Path(__file__).with_name("load.lua")
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass
class Step:
    """Requests, and of them a second; mean delay in milliseconds; the number of responses without success."""

    requests: int
    rate: float
    latency_ms: float
    failures: int


def wrk(
    peer: Peer,
    path: str,
    *,
    connections: int,
    seconds: float,
    work: str = "",
    prefix: str = "",
    objects: int = 1000,
    versions: Sequence[tuple[str, str]] = (),
) -> Step:
    """Run one step; ``versions`` are names and resource versions of objects to replace.

    Raises RuntimeError when wrk is not there or prints something else than figures.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is needed: apt-get install wrk")
    command = [program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}"]
    command += ["-s", str(SCRIPT)] if work else ["-H", f"Authorization: Bearer {peer.token}"]
    if shutil.which("taskset"):
        command = ["taskset", "-c", "1", *command]
    environment = {**os.environ, "WORK": work, "TOKEN": peer.token, "PREFIX": prefix, "OBJECTS": str(objects)}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.writelines(f"{name} {version}\n" for name, version in versions)
        listed.flush()
        environment["VERSIONS"] = listed.name
        done = subprocess.run([*command, peer.url + path], capture_output=True, text=True, env=environment, check=False)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    latency = re.search(r"Latency\s+([\d.]+)(us|ms|s)", done.stdout)
    failures = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    requests = re.search(r"(\d+) requests in", done.stdout)
    if rate is None or latency is None or requests is None:
        raise RuntimeError(f"{peer.name}: wrk failed: {done.stdout}{done.stderr}")
    return Step(
        requests=int(requests[1]),
        rate=float(rate[1]),
        latency_ms=float(latency[1]) * _UNITS[latency[2]],
        failures=int(failures[1]) if failures else 0,
    )


def fresh_name(kind: str) -> str:
    """Return a prefix for names that no earlier step has used."""
    return f"{kind}-{uuid.uuid4().hex[:8]}"
