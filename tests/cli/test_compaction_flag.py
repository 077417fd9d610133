"""``kcp start --compaction-interval``: how often history is compacted, and the effect on watches from older revisions."""

from __future__ import annotations

import contextlib
import json
import re
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from devtools.etcd import MISSING, EtcdCluster, binary
from tests.cli.test_store_check import send
from tests.support.commands import call
from tests.support.kcp_process import Started, started
from tests.support.waiting import PATIENCE

MAPS = "/api/v1/namespaces/default/configmaps"
OLDEST = re.compile(r"the oldest is (\d+)")
INTERVAL = 0.4


@pytest.fixture(params=["sqlite", "etcd"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The flags that say where the log is."""
    if request.param == "sqlite":
        yield ()
        return
    if binary() is None:
        pytest.skip(MISSING)
    with EtcdCluster(tmp_path) as cluster:
        yield ("--etcd-servers", ",".join(cluster.urls))


def oldest(server: Started) -> int:
    """The oldest revision that can be listed; 0 while even the first one can."""
    try:
        server.get(f"{MAPS}?limit=1&resourceVersion=1&resourceVersionMatch=Exact")
    except urllib.error.HTTPError as answer:
        with answer:
            code, said = answer.code, json.loads(answer.read())["message"]
    else:
        return 0
    found = OLDEST.search(said)
    assert (code, bool(found)) == (410, True), said
    assert found is not None
    return int(found[1])


class Seen(NamedTuple):
    """A compaction: the last time at which it had not been observed, and the first time at which it had."""

    after: float
    before: float


def compactions(server: Started, count: int, beside: Started | None = None) -> list[Seen]:
    """Return the times of all compactions, while writes continue."""
    times: list[Seen] = []
    asked = time.monotonic()
    known = oldest(server)
    deadline = asked + PATIENCE
    number = 0
    while len(times) < count:
        assert time.monotonic() < deadline, f"compacted {len(times)} times"
        number += 1
        for each in filter(None, (server, beside)):
            body = {"metadata": {"name": "m"}, "data": {"n": str(number)}}
            send(each, "PUT" if number > 1 else "POST", f"{MAPS}/m" if number > 1 else MAPS, body)
        last, asked = asked, time.monotonic()
        now = oldest(server)
        if now > known:
            known = now
            times.append(Seen(last, time.monotonic()))
    return times


def test_history_is_compacted_at_the_interval_and_watches_from_before_get_410(
    tmp_path: Path, place: tuple[str, ...]
) -> None:
    flags = ("--history-retention", "500ms", "--compaction-interval", f"{INTERVAL * 1000:.0f}ms")
    with started(tmp_path / "kcp", *flags, *place) as server:
        began = json.loads(server.get(MAPS))["metadata"]["resourceVersion"]
        times = compactions(server, 4)
        assert times[-1].before - times[0].after > 3 * INTERVAL * 0.8, f"never more often: {times}"
        line, *_ = server.get(f"{MAPS}?watch=true&resourceVersion={began}").splitlines()
        told = json.loads(line)
        assert (told["type"], told["object"]["code"], told["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_an_interval_of_0_compacts_nothing(tmp_path: Path) -> None:
    flags = ("--history-retention", "200ms", "--compaction-interval")
    with contextlib.ExitStack() as stack:
        off = stack.enter_context(started(tmp_path / "off", *flags, "0"))
        on = stack.enter_context(started(tmp_path / "on", *flags, "200ms"))
        compactions(on, 2, beside=off)
        assert oldest(on) > 0
        assert oldest(off) == 0


def test_the_flag_is_explained_and_checked() -> None:
    shown = " ".join(call("start", "--help").stdout.split())
    assert "--compaction-interval DURATION How often older history is compacted" in shown
    done = call("start", "--compaction-interval", "often")
    assert done.returncode == 2
    assert "is not a duration" in done.stderr
