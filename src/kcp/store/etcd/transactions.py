"""The etcd transaction of a write: pure functions from changes and conditions to compares and operations.

Example. Server ``s7``, whose fence was last written at etcd revision 90, creates the ConfigMap ``a``, deletes the ConfigMap
``old`` that it has read at log revision 1080, and requires that Namespace ``ns`` still has log revision 1042. The log's
identity was written at etcd revision 3, and its offset is 1000::

    compare   mod_revision("/kcp/s/s7") = 90                       the fence: this server has not given the write up
              mod_revision("/kcp/m/identity") = 3                  the log has not been replaced
              mod_revision("/kcp/o/configmaps/root/ns/a") = 0      ABSENT
              mod_revision("/kcp/o/configmaps/root/ns/old") = 80   1080 - 1000
              mod_revision("/kcp/o/namespaces/root//ns") = 42      the condition
    success   put    "/kcp/o/configmaps/root/ns/a"     Stored(tag, value)
              delete "/kcp/o/configmaps/root/ns/old"
              put    "/kcp/n"                          Marker(write="s7c")
    failure   range, keys only, over the key of each compare, in their order

On success the response header has etcd revision 95, so that the write's log revision is 1095; the write is acknowledged when
the replica has applied 1095. On failure the ranges show which compare failed: another revision of a key becomes
PreconditionFailedError (once the replica shows that revision), another identity LogReplacedError, and another fence makes the
server try again. If the call breaks, the server rewrites its fence, say at etcd revision 97. From there on the transaction
cannot happen any more: once the replica has applied 1097, the write ``s7c`` has happened if and only if its marker was among
the events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kcp.store.contract import Change, Condition
from kcp.store.etcd import messages
from kcp.store.etcd.layout import stored
from kcp.store.etcd.open_log import OpenLog

_NESTED_OPERATIONS: Final = 100
"""Operations of a nested transaction: etcd accepts 128 operations in each by default."""


def build(
    log: OpenLog,
    changes: Sequence[Change],
    expectations: Sequence[Condition],
    leases: Mapping[int, int],
    fence: int,
    name: bytes,
) -> Any:
    """Build the TxnRequest of one write.

    ``expectations`` are the preconditions of the changes and the conditions; ``leases`` maps each lifetime to its lease;
    ``fence`` is etcd's revision of this server's fence; ``name`` identifies the write in the marker.
    """
    layout, server = log.layout, log.session.key
    compare = [messages.unchanged(server, fence), messages.unchanged(layout.identity, log.identified_at)]
    failure = [messages.read(server, keys_only=True), messages.read(layout.identity, keys_only=True)]
    for expectation in expectations:
        key = layout.object_key(expectation.key)
        compare.append(messages.unchanged(key, expectation.expected - log.offset if expectation.expected else 0))
        failure.append(messages.read(key, keys_only=True))
    success: list[Any] = []
    for change in changes:
        key = layout.object_key(change.key)
        if change.value is not None:
            lease = leases[change.lifetime] if change.lifetime is not None else 0
            success.append(messages.put(key, stored(change.value, change.tag), lease))
        else:
            success.append(messages.delete(key))
    if len(success) > _NESTED_OPERATIONS:
        success = [
            messages.nested(success[start : start + _NESTED_OPERATIONS])
            for start in range(0, len(success), _NESTED_OPERATIONS)
        ]
    marker = messages.make("Marker", write=name)
    success.append(messages.put(layout.marker, marker.SerializeToString()))
    return messages.make("TxnRequest", compare=compare, success=success, failure=failure)
