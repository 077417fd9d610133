"""Recorded histories of clients, and the checker that finds violations in them.

    async with Recorder.of(server, ...) as recorder:        # kcp.testing.Server, one or several over one etcd
        traffic = asyncio.create_task(recorder.traffic(seconds=10, clients=8, seed=1))
        ...                                                 # inject faults; servers may be restarted elsewhere
        await traffic
    assert check(recorder.history) == []                    # or read the Violation: its fault and message
    print(recorder.history.summary())

``Recorder([place, ...])`` takes functions that return a `tests.support.clients.Address`, for servers of any other kind. At
the end of the block at least one server must take writes again, and every server answer watches within ``patience``.
``compacted=True`` is for servers whose ``--history-retention`` is shorter than the block.
"""

from tests.histories.checker import check
from tests.histories.model import Fault, History, Violation
from tests.histories.recorder import Recorder

__all__ = ["Fault", "History", "Recorder", "Violation", "check"]
