"""Protobuf's wire format (Protocol Buffers, "Encoding"), as far as Kubernetes' and gnostic's messages use it.

Not the protobuf runtime: it is slow to import, needs descriptors of all messages, and every well-known message would still need
its own rules to become JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
LENGTH: Final = 2
FIXED32: Final = 5

_DOUBLE: Final = struct.Struct("<d")
_SINGLE_BYTES: Final = tuple(bytes((value,)) for value in range(0x80))


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Each field as (number, wire type, value): an integer, or the bytes. Raises ValueError when they are malformed."""
    position, end = 0, len(data)
    while position < end:
        key, position = varint(data, position)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("illegal tag 0")
        if wire == LENGTH:
            size, position = varint(data, position)
            if size > end - position:
                raise ValueError("unexpected EOF")
            yield number, wire, data[position : position + size]
            position += size
        elif wire == VARINT:
            value, position = varint(data, position)
            yield number, wire, value
        elif wire in {FIXED64, FIXED32}:
            size = 8 if wire == FIXED64 else 4
            if size > end - position:
                raise ValueError("unexpected EOF")
            yield number, wire, data[position : position + size]
            position += size
        else:
            raise ValueError(f"illegal wireType {wire}")


def varint(data: bytes, position: int) -> tuple[int, int]:
    """The unsigned integer at a position, and the position after it."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise ValueError("unexpected EOF")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift >= 70:
            raise ValueError("integer overflow")


def signed(value: int, bits: int = 64) -> int:
    """A varint as a signed integer of so many bits (of a narrower one only the low bits count)."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def double(data: bytes) -> float:
    """Eight bytes as a floating point number."""
    (value,) = _DOUBLE.unpack(data)
    return float(value)


def pack_varint(value: int) -> bytes:
    """An integer as varint; a negative one in ten bytes."""
    if 0 <= value < 0x80:
        return _SINGLE_BYTES[value]
    value &= 0xFFFFFFFFFFFFFFFF
    packed = bytearray()
    while value > 0x7F:
        packed.append(value & 0x7F | 0x80)
        value >>= 7
    packed.append(value)
    return bytes(packed)


@lru_cache(maxsize=512)
def _tag(number: int, form: int) -> bytes:
    return pack_varint(number << 3 | form)


def pack_integer(number: int, value: int) -> bytes:
    """A field that is an integer or boolean."""
    return _tag(number, VARINT) + pack_varint(value)


def pack_bytes(number: int, value: bytes) -> bytes:
    """A field that is bytes, text or a message."""
    return _tag(number, LENGTH) + pack_varint(len(value)) + value


def pack_length(number: int, length: int) -> bytes:
    """The start of a field whose bytes follow: its tag and length."""
    return _tag(number, LENGTH) + pack_varint(length)


def pack_double(number: int, value: float) -> bytes:
    """A field that is a floating point number."""
    return _tag(number, FIXED64) + _DOUBLE.pack(value)
