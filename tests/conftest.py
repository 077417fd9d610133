"""What all tests share: how property tests run, and the report of measured figures, which never make a test fail."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none
from xdist.remote import Producer

from tests.faults import table
from tests.support.distribution import Scheduling, place_of
from tests.support.importing import compile_kcp, import_part

pytest_plugins = ["tests.support.running_coroutines"]

# no test depends on how fast the machine is, or on luck: with --hypothesis-profile=explore, examples are different in each run
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("kcp", settings.get_profile("explore"), derandomize=True)
settings.load_profile("kcp")

# a shell starts what runs in its background with SIGINT ignored, and so would every process be that the tests start and interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# processes that tests start share what the first of them has compiled
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# a quarter of the processor time of a kubectl is garbage collection, which few of them live long enough to need
os.environ.setdefault("GOGC", "400")

Report = Callable[[str], None]
_PROPERTY = "measured"


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Report:
    """Report a figure."""
    return lambda text: record_property(_PROPERTY, text)


@pytest.hookimpl(hookwrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Keep what is collected out of later garbage collections: a million objects, which each full one would walk."""
    gc.disable()
    if hasattr(session.config, "workerinput"):
        import_part(session.config, session.config.workerinput)
    yield
    given(none())(lambda _: None)()  # Hypothesis registers its generator, whose frozen references it would not find
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Run three workers for each processor: many tests wait for processes and disks."""
    return 3 * len(os.sched_getaffinity(0))


def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Compile once what each worker imports."""
    compile_kcp(config)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Distribute the tests by units of work, unless another way is asked for."""
    if config.getoption("dist") != "load":
        return None
    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return Scheduling(config, log)


@pytest.hookimpl(trylast=True)  # after pytest has brought together what shares fixtures
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with what takes longest."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    properties = [
        each
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for each in report.user_properties
    ]
    found = [str(value) for name, value in properties if name == _PROPERTY]
    faults = [table.decoded(str(value)) for name, value in properties if name == table.PROPERTY]
    for title, lines in (("measured", found), ("faults", table.rendered(faults) if faults else [])):
        if lines:
            terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)
