"""How far each request may make the server's memory grow: the aim, and a ceiling for each request that does not reach it.

The aim is four times the limit on bodies. A decoded value takes more than that of some bodies of small members: a map of 150,000
short keys takes 13 MB, a list of 150,000 maps of one member 38 MB (docs/decisions/0022). A ceiling is what was measured with a
quarter on top, since versions of Python and of orjson differ. It may be lowered, and never raised.
"""

from __future__ import annotations

from typing import Final

from kcp.api.documents import MAX_BYTES

MEGABYTE: Final = 1_000_000
AIM: Final = 4 * MAX_BYTES
"""Bytes."""

CEILINGS: Final[dict[str, int]] = {
    "a strategic merge patch of a list": 80,
    "an apply of many keys over many": 75,
    "an apply of a large list map": 75,
    "secrets of a service account": 75,
    "a definition with many short names": 70,
    "an update of a large object": 70,
    "a merge patch of nulls": 65,
    "copies of a long list": 65,
    "copies of copies": 65,
    "a large list map": 65,
    "a definition with a large default": 65,
    "anything": 65,
    "a list map of one key": 60,
    "annotations with bad keys": 60,
    "list map items without a key": 60,
    "a large merge patch": 60,
    "a Secret": 55,
    "a definition with many required fields": 55,
    "a definition with a large enum": 55,
    "a definition with many properties": 55,
    "a definition with many defaults": 50,
    "a definition with many columns": 50,
    "an apply of many keys": 50,
    "YAML lines": 50,
    "a map": 45,
    "an apply of a large set": 45,
    "moves to the front of a long list": 45,
    "a large set": 45,
    "a map of wrong values": 45,
    "data": 45,
    "managed fields of many managers": 45,
    "removes from the front of a long list": 45,
    "a Secret that is not base64": 45,
    "adds at the front of a long list": 45,
    "binary data that is not base64": 45,
    "data values that are no strings": 45,
    "unknown fields, strict": 45,
    "bad finalizers": 45,
    "data with bad keys": 45,
    "many unknown fields": 40,
    "a definition with many rules": 40,
    "a long path": 40,
    "a small patch of a large object": 40,
    "owner references to nobody": 40,
    "tests of a long list": 40,
    "finalizers": 35,
    "labels with bad values": 35,
    "a column over a large list": 35,
    "labels with bad keys": 35,
    "a list of integers": 35,
    "many items that no enum has": 35,
    "several controllers": 35,
    "owner references without a member": 30,
    "a definition with one value often": 30,
    "a definition with unknown members": 30,
    "a large object of an older schema": 30,
    "a table of a large object": 30,
    "an apply of an undeclared field": 30,
    "unknown fields in metadata": 30,
    "unknown fields of a custom resource": 30,
    "a large object as YAML": 25,
    "a large object, pretty": 25,
    "one owner reference often": 25,
    "deletes from a primitive list": 25,
    "labels that are no strings": 25,
    "the initial row of a large object": 25,
    "a comparison of large objects in a table": 25,
    "a list of a million": 25,
    "too many operations": 20,
    "a definition with wrong rules": 20,
    "an order of many items": 20,
    "a pattern over a long string": 20,
    "a list of wrong items": 15,
    "one finalizer often": 15,
    "a long label": 15,
    "a long namespace": 15,
    "an apply over the fields of many managers": 15,
    "escapes": 15,
}
"""Megabytes, by the name of the request."""


def ceiling_of(name: str) -> int:
    """The most bytes by which the memory may grow."""
    return max(AIM, CEILINGS.get(name, 0) * MEGABYTE)
