"""A reader of gnostic's messages, built from tables of their fields."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_SCALARS = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
    "double": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
}


@cache
def pool(table: str, package: str) -> descriptor_pool.DescriptorPool:
    """The messages of a table."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    messages = yaml.load(Path(__file__).with_name(table).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, text in fields.items():
            number, _, kind = text.partition(" ")
            field = message.field.add(name=field_name, number=int(number), json_name=field_name)
            field.label = field.LABEL_REPEATED if kind.endswith("*") else field.LABEL_OPTIONAL
            kind = kind.rstrip("*")
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".{package}.{kind}"
    found = descriptor_pool.DescriptorPool()
    found.Add(file)
    return found


def parse(messages: descriptor_pool.DescriptorPool, full_name: str, data: bytes) -> Any:
    """Decode a message; a field that gnostic does not have is an error."""
    message = message_factory.GetMessageClass(messages.FindMessageTypeByName(full_name))()
    message.ParseFromString(data)
    kept = message.SerializeToString()
    message.DiscardUnknownFields()
    assert message.SerializeToString() == kept
    return message
