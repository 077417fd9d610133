"""Protobuf messages, built from tables of field numbers: those of the gRPC services that stores call, and of what they store.

A table has a line for each message: its fields, as ``name number type``. Enumerations are plain integers, as on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

_TYPES: Final = {"int32": 5, "int64": 3, "uint64": 4, "bool": 8, "string": 9, "bytes": 12}
_MESSAGE_TYPE: Final = 11
_OPTIONAL: Final = 1
_REPEATED: Final = 3


def build(package: str, table: Mapping[str, str]) -> dict[str, Any]:
    """Build the classes of a table's messages, by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in table.items():
        message = file.message_type.add(name=name)
        for words in filter(None, fields.split(", ")):
            field, number, *labels, type_ = words.split()
            added = message.field.add(
                name=field, number=int(number), label=_REPEATED if "repeated" in labels else _OPTIONAL
            )
            scalar: Any = _TYPES.get(type_)
            if scalar is not None:
                added.type = scalar
            else:
                added.type, added.type_name = cast(Any, _MESSAGE_TYPE), f".{package}.{type_}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in table}


def parse(message: Any, content: bytes) -> Any:
    """Decode a message of a class. Raises ValueError."""
    from google.protobuf.message import DecodeError

    try:
        return message.FromString(content)
    except DecodeError as error:
        raise ValueError(f"not a message of type {message.DESCRIPTOR.name}: {error}") from error
