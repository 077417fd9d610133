"""How pytest-xdist distributes the tests: what files set up is set up once, and what takes long begins first.

The tests of a file run on one worker, one after the other: they share servers, etcd clusters, and what the first of them has
compiled. Tests of several files that share a cluster of etcd or a server are one unit of work; where the tests of a file share
nothing and each takes long, each of them is one. The longest units begin first, so that the workers end together.
"""

from __future__ import annotations

import re
from typing import Final

from xdist.scheduler import LoadScopeScheduling

_TEST: Final = r"\g<0>"

UNITS: Final = (
    (r"tests/kubectl/test_pulled_.*", "kubectl: the types of Kubernetes"),
    (r"tests/kubectl/.*[\[-](sqlite|etcd)\b.*", r"kubectl: \1"),
    (r"tests/store/.*\[(etcd-)?three-members\b.*", "store: three members"),
    (r"tests/store/.*\[(etcd-encrypted|(etcd-)?one-member)\b.*", "store: one member"),
    (r"tests/store/transfer/.*", "store: transfer"),
    (r"tests/fuzz/.*", "fuzz"),
    (r"tests/(clients|crash|distributed|examples|faults|operations)/.*", _TEST),
    (r"tests/cli/test_(starting|store_check|compaction_flag|commands|crd_puller|api_negotiation).*", _TEST),
    (
        r"tests/(clusters/test_many|documentation/test_operations|encryption/test_rotating|histories/test_servers).*",
        _TEST,
    ),
    (r"tests/multicluster/(faults/test_faults|syncer/test_recorded_histories).*", _TEST),
    (r"[^:]+", _TEST),
)
"""Patterns of the IDs of tests, and the names of the units of those that match; the first that matches counts."""

LONGEST: Final = (
    *(
        "kubectl: ",
        "store: ",
        "tests/store/etcd/test_faults",
        "tests/stalls/",
        "tests/multicluster/splitter/test_scenarios",
    ),
    *("tests/multicluster/faults/", "tests/multicluster/scenarios/", "tests/faults/", "tests/distributed/"),
    *("tests/clusters/test_many", "tests/crash/", "tests/histories/test_servers", "tests/multicluster/simulation/"),
    *("tests/documentation/", "tests/operations/", "tests/clients/", "tests/bench/", "tests/examples/"),
    *("tests/multicluster/", "tests/cli/", "tests/plugin/", "tests/cel/", "tests/server/", "tests/encryption/"),
)
"""How the names of units begin that begin before the others, in this order."""


def unit_of(test: str) -> str:
    """Return the unit of work that a test belongs to, by its ID."""
    return next(match.expand(unit) for pattern, unit in UNITS if (match := re.match(pattern, test)))


def place_of(test: str) -> int:
    """Return which tests begin before which: those of the lowest number."""
    unit = unit_of(test)
    return next((place for place, beginning in enumerate(LONGEST) if unit.startswith(beginning)), len(LONGEST))


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Gives a worker the next unit when it is about to end its last one. The order is that of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
