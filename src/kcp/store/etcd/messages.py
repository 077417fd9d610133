"""etcd's messages, built from a table of field numbers.

These are the messages of etcd's v3 protocol (``rpc.proto``, ``kv.proto``) that the store uses, and those that it stores in etcd.
Enumerations are plain integers, as on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from kcp.store import message_tables

PUT: Final = 0
DELETE: Final = 1
EQUAL: Final = 0
MOD: Final = 2

_TABLE: Final[dict[str, str]] = {
    "ResponseHeader": "cluster_id 1 uint64, member_id 2 uint64, revision 3 int64, raft_term 4 uint64",
    "KeyValue": "key 1 bytes, create_revision 2 int64, mod_revision 3 int64, version 4 int64, value 5 bytes, lease 6 int64",
    "Event": "type 1 int32, kv 2 KeyValue, prev_kv 3 KeyValue",
    "RangeRequest": (
        "key 1 bytes, range_end 2 bytes, limit 3 int64, revision 4 int64, sort_order 5 int32, sort_target 6 int32, "
        "serializable 7 bool, keys_only 8 bool, count_only 9 bool"
    ),
    "RangeResponse": "header 1 ResponseHeader, kvs 2 repeated KeyValue, more 3 bool, count 4 int64",
    "PutRequest": "key 1 bytes, value 2 bytes, lease 3 int64, prev_kv 4 bool",
    "PutResponse": "header 1 ResponseHeader",
    "DeleteRangeRequest": "key 1 bytes, range_end 2 bytes, prev_kv 3 bool",
    "DeleteRangeResponse": "header 1 ResponseHeader, deleted 2 int64",
    "RequestOp": (
        "request_range 1 RangeRequest, request_put 2 PutRequest, request_delete_range 3 DeleteRangeRequest, "
        "request_txn 4 TxnRequest"
    ),
    "ResponseOp": "response_range 1 RangeResponse, response_put 2 PutResponse, response_delete_range 3 DeleteRangeResponse",
    "Compare": "result 1 int32, target 2 int32, key 3 bytes, version 4 int64, create_revision 5 int64, mod_revision 6 int64",
    "TxnRequest": "compare 1 repeated Compare, success 2 repeated RequestOp, failure 3 repeated RequestOp",
    "TxnResponse": "header 1 ResponseHeader, succeeded 2 bool, responses 3 repeated ResponseOp",
    "CompactionRequest": "revision 1 int64, physical 2 bool",
    "CompactionResponse": "header 1 ResponseHeader",
    "WatchCreateRequest": (
        "key 1 bytes, range_end 2 bytes, start_revision 3 int64, progress_notify 4 bool, prev_kv 6 bool, watch_id 7 int64, "
        "fragment 8 bool"
    ),
    "WatchRequest": "create_request 1 WatchCreateRequest",
    "WatchResponse": (
        "header 1 ResponseHeader, watch_id 2 int64, created 3 bool, canceled 4 bool, compact_revision 5 int64, "
        "cancel_reason 6 string, fragment 7 bool, events 11 repeated Event"
    ),
    "LeaseGrantRequest": "TTL 1 int64, ID 2 int64",
    "LeaseGrantResponse": "header 1 ResponseHeader, ID 2 int64, TTL 3 int64, error 4 string",
    "LeaseRevokeRequest": "ID 1 int64",
    "LeaseRevokeResponse": "header 1 ResponseHeader",
    "LeaseKeepAliveRequest": "ID 1 int64",
    "LeaseKeepAliveResponse": "header 1 ResponseHeader, ID 2 int64, TTL 3 int64",
    "LeaseTimeToLiveRequest": "ID 1 int64, keys 2 bool",
    "LeaseTimeToLiveResponse": "header 1 ResponseHeader, ID 2 int64, TTL 3 int64, grantedTTL 4 int64, keys 5 repeated bytes",
    "StatusRequest": "",
    "StatusResponse": (
        "header 1 ResponseHeader, version 2 string, dbSize 3 int64, leader 4 uint64, raftIndex 5 uint64, raftTerm 6 uint64, "
        "errors 8 repeated string, dbSizeInUse 9 int64, dbSizeQuota 12 int64"
    ),
    "AuthenticateRequest": "name 1 string, password 2 string",
    "AuthenticateResponse": "header 1 ResponseHeader, token 2 string",
    # stored in etcd: a value with its tag, and the marker of each write
    "Stored": "tag 1 string, value 2 bytes",
    "Marker": "write 1 bytes",
}
_PACKAGE: Final = "kcp.store.etcd"

METHODS: Final = {
    "Range": ("KV", "RangeRequest", "RangeResponse"),
    "Put": ("KV", "PutRequest", "PutResponse"),
    "Txn": ("KV", "TxnRequest", "TxnResponse"),
    "Compact": ("KV", "CompactionRequest", "CompactionResponse"),
    "LeaseGrant": ("Lease", "LeaseGrantRequest", "LeaseGrantResponse"),
    "LeaseRevoke": ("Lease", "LeaseRevokeRequest", "LeaseRevokeResponse"),
    "LeaseKeepAlive": ("Lease", "LeaseKeepAliveRequest", "LeaseKeepAliveResponse"),
    "LeaseTimeToLive": ("Lease", "LeaseTimeToLiveRequest", "LeaseTimeToLiveResponse"),
    "Status": ("Maintenance", "StatusRequest", "StatusResponse"),
    "Authenticate": ("Auth", "AuthenticateRequest", "AuthenticateResponse"),
    "Watch": ("Watch", "WatchRequest", "WatchResponse"),
}
"""The calls: service, request and response."""


@cache
def classes() -> dict[str, Any]:
    """Return the message classes by name. They are built once."""
    return message_tables.build(_PACKAGE, _TABLE)


def make(name: str, /, **fields: Any) -> Any:
    """Make a message."""
    return classes()[name](**fields)


def parse(name: str, content: bytes) -> Any:
    """Decode a message. Raises ValueError."""
    return message_tables.parse(classes()[name], content)


def put(key: bytes, value: bytes, lease: int = 0) -> Any:
    """Make a transaction's operation that puts a key."""
    return make("RequestOp", request_put=make("PutRequest", key=key, value=value, lease=lease))


def delete(key: bytes, end: bytes = b"") -> Any:
    """Make a transaction's operation that deletes a key, or the range up to ``end``."""
    return make("RequestOp", request_delete_range=make("DeleteRangeRequest", key=key, range_end=end))


def read(key: bytes, *, keys_only: bool = False) -> Any:
    """Make a transaction's operation that reads a key."""
    return make("RequestOp", request_range=make("RangeRequest", key=key, keys_only=keys_only))


def nested(operations: Sequence[Any]) -> Any:
    """Make a nested transaction: etcd limits the operations of each transaction."""
    return make("RequestOp", request_txn=make("TxnRequest", success=operations))


def unchanged(key: bytes, revision: int) -> Any:
    """Make a transaction's compare: the key was last written at this revision; 0 means absent."""
    return make("Compare", result=EQUAL, target=MOD, key=key, mod_revision=revision)
