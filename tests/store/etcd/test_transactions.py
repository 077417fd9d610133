"""The etcd transaction of a write: the example of `kcp.store.etcd.transactions`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from kcp.store.contract import ABSENT, Change, Condition
from kcp.store.etcd import messages
from kcp.store.etcd.layout import Layout
from kcp.store.etcd.open_log import OpenLog
from kcp.store.etcd.transactions import build
from tests.support.keys import make_key

OFFSET = 1000


def test_the_example_of_a_transaction() -> None:
    layout = Layout("/kcp")
    session = SimpleNamespace(key=layout.server("s7"))
    log = SimpleNamespace(layout=layout, session=session, identified_at=3, offset=OFFSET)
    new = make_key("configmaps", "root", "ns", "a")
    old = make_key("configmaps", "root", "ns", "old")
    namespace = make_key("namespaces", "root", "", "ns")
    changes = [Change(new, b"{}", ABSENT, tag="t"), Change(old, None, 1080)]
    expectations = [Condition(new, ABSENT), Condition(old, 1080), Condition(namespace, 1042)]
    request = build(cast(OpenLog, log), changes, expectations, {}, 90, b"s7c")

    compared: list[tuple[bytes, int]] = [(each.key, each.mod_revision) for each in request.compare]
    assert compared == [
        (b"/kcp/s/s7", 90),
        (b"/kcp/m/identity", 3),
        (b"/kcp/o/configmaps/root/ns/a", 0),
        (b"/kcp/o/configmaps/root/ns/old", 80),
        (b"/kcp/o/namespaces/root//ns", 42),
    ]
    put, delete, mark = request.success
    stored: Any = messages.parse("Stored", put.request_put.value)
    marker: Any = messages.parse("Marker", mark.request_put.value)
    assert (put.request_put.key, stored.value, stored.tag) == (b"/kcp/o/configmaps/root/ns/a", b"{}", "t")
    assert delete.request_delete_range.key == b"/kcp/o/configmaps/root/ns/old"
    assert (mark.request_put.key, marker.write) == (b"/kcp/n", b"s7c")
    assert [each.request_range.key for each in request.failure] == [key for key, _ in compared]
    assert all(each.request_range.keys_only for each in request.failure)
