"""Rates, delays and ``Retry-After``: pure rules, with a clock of the test."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcp.client import Client, ClientConfiguration
from kcp.client.transport.rate_limits import TokenBucket
from kcp.client.transport.retrying import backoff, parse_retry_after
from tests.support.clocks import Clock

NOW = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


def test_a_burst_passes_at_once_and_then_the_rate_counts() -> None:
    clock = Clock()
    bucket = TokenBucket(10.0, 3, clock)
    assert [round(bucket.reserve(), 6) for _ in range(5)] == [0.0, 0.0, 0.0, 0.1, 0.2]
    clock.now = 10.0
    assert [round(bucket.reserve(), 6) for _ in range(4)] == [0.0, 0.0, 0.0, 0.1]


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.5, 50), st.integers(1, 10))
def test_no_more_requests_pass_than_the_rate_and_the_burst_allow(pauses: list[float], rate: float, burst: int) -> None:
    clock = Clock()
    bucket = TokenBucket(rate, burst, clock)
    passed = []
    for pause in pauses:
        clock.now += pause
        passed.append(clock.now + bucket.reserve())
    for first, start in enumerate(passed):
        for count, end in enumerate(passed[first:], 1):
            assert count <= (end - start) * rate + burst + 1e-6


def test_a_rate_of_zero_is_no_limit() -> None:
    bucket = TokenBucket(0.0, 1)
    assert not any(bucket.reserve() for _ in range(1000))


def test_delays_grow_up_to_their_limit_and_differ() -> None:
    delays = [backoff(attempt, first=1.0, last=8.0) for attempt in range(40)]
    for attempt, delay in enumerate(delays):
        whole = min(2.0**attempt, 8.0)
        assert whole / 2 <= delay <= whole
    assert len(set(delays)) > 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("120", 120),
        ("0", 0),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30),
        ("Wed, 21 Oct 2015 07:20:00 GMT", 0),
        ("-1", None),
        ("soon", None),
        ("9" * 400, None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, expected: int | None) -> None:
    assert parse_retry_after(text, NOW) == expected


@pytest.mark.parametrize(
    ("server", "cluster", "path"),
    [
        ("https://host:6443", "", "/version"),
        ("https://host:6443/", "", "/version"),
        ("https://host/clusters/team", "team", "/clusters/team/version"),
        ("https://host/clusters/team/", "team", "/clusters/team/version"),
        ("https://host/k8s/c-abc/clusters/team", "team", "/clusters/team/version"),
        ("https://host/k8s/clusters/team/more", "", "/version"),
        ("https://host/k8s/clusters/c-m:Abc_1", "", "/version"),
        ("https://team", "", "/version"),
    ],
)
def test_the_logical_cluster_at_the_end_of_an_address(server: str, cluster: str, path: str) -> None:
    client = Client(ClientConfiguration(server=server))
    assert client.cluster == cluster
    assert client._prefix + "/version" == path


async def test_a_request_that_is_cancelled_while_it_waits_does_not_delay_later_ones() -> None:
    clock = Clock()
    bucket = TokenBucket(1.0, 1, clock)
    assert bucket.reserve() == 0.0
    waiting = [asyncio.create_task(bucket.wait()) for _ in range(100)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert bucket.reserve() == 1.0
