"""How far each request may make the server's memory grow: the aim, and a ceiling for each request that does not reach it.

The aim is four times the limit on bodies. A decoded value takes more than that of some bodies of small members: a map of 150,000
short keys takes 13 MB, a list of 150,000 maps of one member 38 MB (docs/decisions/0022). A ceiling is what was measured with a
quarter on top, since versions of Python and of orjson differ. It may be lowered, and is
raised only where it left less than that quarter.
"""

from __future__ import annotations

from typing import Final

from kcp.api.documents import MAX_BYTES

MEGABYTE: Final = 1_000_000
AIM: Final = 4 * MAX_BYTES
"""Bytes."""

CEILINGS: Final[dict[str, int]] = {
    "a strategic merge patch of a list": 70,
    "secrets of a service account": 61,
    "anything": 56,
    "a merge patch of nulls": 55,
    "a large list map": 55,
    "a list map of one key": 55,
    "an apply of many keys over many": 51,
    "an apply of a large list map": 50,
    "list map items without a key": 47,
    "an update of a large object": 46,
    "moves to the front of a long list": 45,
    "unknown fields, strict": 45,
    "a definition with many defaults": 45,
    "a large merge patch": 44,
    "a definition with many short names": 42,
    "removes from the front of a long list": 42,
    "adds at the front of a long list": 41,
    "copies of copies": 40,
    "a definition with many required fields": 40,
    "a definition with a large default": 40,
    "annotations with bad keys": 40,
    "copies of a long list": 39,
    "an apply of a large set": 39,
    "many unknown fields": 39,
    "a small patch of a large object": 39,
    "a Secret": 37,
    "a definition with many properties": 36,
    "a long path": 35,
    "a definition with many columns": 35,
    "a definition with many rules": 35,
    "a column over a large list": 35,
    "a map": 35,
    "a map of wrong values": 35,
    "data values that are no strings": 35,
    "owner references without a member": 35,
    "managed fields of many managers": 33,
    "a definition with a large enum": 33,
    "a large set": 32,
    "YAML lines": 31,
    "an apply of many keys": 30,
    "bad finalizers": 30,
    "binary data that is not base64": 30,
    "data with bad keys": 30,
    "tests of a long list": 30,
    "a definition with one value often": 30,
    "many items that no enum has": 30,
    "several controllers": 30,
    "a Secret that is not base64": 30,
    "a definition with unknown members": 30,
    "a large object as YAML": 30,
    "an apply of an undeclared field": 30,
    "unknown fields in metadata": 30,
    "unknown fields of a custom resource": 30,
    "a large object of an older schema": 25,
    "a large object, pretty": 25,
    "deletes from a primitive list": 25,
    "a table of a large object": 25,
    "labels with bad values": 25,
    "one owner reference often": 25,
    "an order of many items": 25,
    "labels that are no strings": 25,
    "labels with bad keys": 25,
    "the initial row of a large object": 25,
    "a comparison of large objects in a table": 25,
    "a list of a million": 25,
    "many of all logical clusters": 25,
    "data": 24,
    "finalizers": 23,
    "too many operations": 20,
    "the OpenAPI document of many types": 20,
    "an apply over the fields of many managers": 20,
    "a definition with wrong rules": 20,
    "a pattern over a long string": 20,
    "escapes": 20,
    "a list of integers": 19,
    "owner references to nobody": 21,
    "a list of wrong items": 15,
    "one finalizer often": 15,
    "a long namespace": 15,
}
"""Megabytes, by the name of the request."""


def ceiling_of(name: str) -> int:
    """The most bytes by which the memory may grow."""
    return max(AIM, CEILINGS.get(name, 0) * MEGABYTE)
