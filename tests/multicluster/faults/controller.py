"""A cluster controller in push mode as a process of its own, with thresholds of seconds: ``python -m ... KUBECONFIG``."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from kcp.client import load_configuration
from kcp.multicluster.clusters import Mode, Options, run

HEARTBEAT_THRESHOLD = 3.0
OPTIONS = Options(
    mode=Mode.PUSH,
    resources=("deployments.apps",),
    auto_publish=True,
    leader_elect=False,
    interval=1.0,
    heartbeat_interval=0.5,
    heartbeat_threshold=HEARTBEAT_THRESHOLD,
)

if __name__ == "__main__":
    uvloop.run(run(load_configuration(Path(sys.argv[1])), OPTIONS))
