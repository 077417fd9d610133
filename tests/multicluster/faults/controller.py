"""A cluster controller as a process of its own, with thresholds of seconds: ``python -m ... KUBECONFIG MODE``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import uvloop

from kcp.client import load_configuration
from kcp.multicluster.clusters import Mode, Options, run, upstream_of

HEARTBEAT_THRESHOLD = 3.0
OPTIONS = Options(
    resources=("deployments.apps",),
    auto_publish=True,
    leader_elect=False,
    interval=1.0,
    heartbeat_interval=0.5,
    heartbeat_threshold=HEARTBEAT_THRESHOLD,
)


def main(kubeconfig: Path, mode: Mode) -> None:
    """Run until killed."""
    configuration = load_configuration(kubeconfig)
    options = dataclasses.replace(
        OPTIONS, mode=mode, syncer_image="example.com/kcp:test", syncer_upstream=upstream_of(configuration)
    )
    uvloop.run(run(configuration, options))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Mode(sys.argv[2]))
