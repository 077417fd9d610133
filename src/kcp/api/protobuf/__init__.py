"""Kubernetes' protobuf bodies (``application/vnd.kubernetes.protobuf``) of the built-in types.

A body is four bytes of magic and a ``runtime.Unknown`` message: the object's apiVersion and kind, and its own message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from kcp.api import errors
from kcp.api.protobuf import wire
from kcp.api.protobuf.decoding import decode_message
from kcp.api.protobuf.encoding import encode_message
from kcp.api.protobuf.messages import root, roots

__all__ = [
    "CONTENT_TYPE",
    "MAGIC",
    "decode_body",
    "encode_body",
    "encode_item",
    "encode_list",
    "encode_watch_event",
    "known",
    "root",
    "roots",
]

CONTENT_TYPE: Final = "application/vnd.kubernetes.protobuf"
MAGIC: Final = b"k8s\x00"
_METADATA, _ITEMS = 1, 2
_TYPE, _RAW, _ENCODING, _CONTENT_TYPE = 1, 2, 3, 4


def known(api_version: str, kind: str) -> bool:
    """Whether objects of this kind have a protobuf form here."""
    return root(api_version, kind) is not None


def decode_body(body: bytes) -> dict[str, Any]:
    """The object in a body, apiVersion and kind included. Raises StatusError 400 when it cannot be read."""
    if not body.startswith(MAGIC):
        raise errors.bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    try:
        api_version, kind, raw = _envelope(body[len(MAGIC) :])
        name = root(api_version, kind)
        if name is None:
            raise errors.bad_request(f'no protobuf form is known of kind "{kind}" in version "{api_version}"')
        return {"kind": kind, "apiVersion": api_version, **decode_message(raw, name)}
    except (ValueError, RecursionError) as problem:
        raise errors.bad_request(f"the body of the request could not be decoded as protobuf: {problem}") from problem


def encode_body(obj: dict[str, Any]) -> bytes:
    """An object as a body. Raises KeyError for kinds that are not known, ValueError where a value is not of its field's type."""
    api_version, kind = obj.get("apiVersion", ""), obj["kind"]
    name = root(api_version, kind)
    if name is None:
        raise KeyError(f"{api_version} {kind}")
    return _enveloped(api_version, kind, encode_message(obj, name))


def encode_item(obj: dict[str, Any]) -> bytes:
    """An object as one of the items of a list. Raises as `encode_body` does."""
    name = root(obj["apiVersion"], obj["kind"])
    if name is None:
        raise KeyError(f"{obj['apiVersion']} {obj['kind']}")
    return wire.pack_bytes(_ITEMS, encode_message(obj, name))


def encode_list(api_version: str, list_kind: str, metadata: dict[str, Any], items: Iterable[bytes]) -> bytes:
    """A list as a body: all lists of built-in types have their metadata and items in the same places."""
    head = wire.pack_bytes(_METADATA, encode_message(metadata, "meta.ListMeta"))
    return _enveloped(api_version, list_kind, b"".join((head, *items)))


def encode_watch_event(kind: str, body: bytes) -> bytes:
    """A frame of a watch: its length in four bytes, and a meta/v1 ``WatchEvent`` with an object's body in it."""
    event = wire.pack_bytes(1, kind.encode()) + wire.pack_bytes(2, wire.pack_bytes(1, body))
    return len(event).to_bytes(4, "big") + event


def _enveloped(api_version: str, kind: str, raw: bytes) -> bytes:
    of_type = wire.pack_bytes(1, api_version.encode()) + wire.pack_bytes(2, kind.encode())
    return b"".join(
        (
            MAGIC,
            wire.pack_bytes(_TYPE, of_type),
            wire.pack_bytes(_RAW, raw),
            wire.pack_bytes(_ENCODING, b""),
            wire.pack_bytes(_CONTENT_TYPE, b""),
        )
    )


def _envelope(data: bytes) -> tuple[str, str, bytes]:
    api_version = kind = ""
    raw = b""
    for number, form, value in wire.fields(data):
        if form != wire.LENGTH or not isinstance(value, bytes):
            raise ValueError("malformed envelope")
        if number == _TYPE:
            for part, _, content in wire.fields(value):
                if not isinstance(content, bytes):
                    raise ValueError("malformed type")
                if part == 1:
                    api_version = content.decode()
                elif part == 2:
                    kind = content.decode()
        elif number == _RAW:
            raw = value
        elif number == _ENCODING and value:
            raise ValueError(f"content encoding {value!r} is not supported")
    return api_version, kind, raw
