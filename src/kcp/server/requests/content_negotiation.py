"""Content negotiation: the form of a response by ``Accept``, the form of a body by ``Content-Type``.

Follows k8s.io/apiserver's negotiation (RFC 9110 media ranges; of equal quality the first listed wins) with the
parameters ``as``, ``g`` and ``v`` of the API concepts pages "Receiving resources as Tables" and "Metadata-only fetches".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from kcp.api import errors
from kcp.registry.representations.framing import PARTIAL, PARTIAL_LIST
from kcp.registry.representations.metadata_only import MetadataOnly
from kcp.registry.representations.protobuf_objects import ProtobufMetadata, ProtobufObjects
from kcp.registry.representations.table_rows import TableRows
from kcp.registry.representations.whole_objects import WHOLE_OBJECTS
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.representation import Representation

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
OBJECT_MEDIA_TYPES: Final = (JSON, YAML)
_META: Final = "meta.k8s.io"
_META_VERSIONS: Final = ("v1", "v1beta1")
_LONGEST_HEADER: Final = 8192
_CACHE_SIZE: Final = 1024
_CACHED_HEADERS: Final = 16
"""Size of the cache of parsed headers: a request is negotiated several times, and a header may have a thousand entries."""


class MediaRange(NamedTuple):
    """One entry of an ``Accept`` header."""

    type: str
    subtype: str
    parameters: tuple[tuple[str, str], ...]
    quality: float

    def parameter(self, name: str) -> str:
        """Return a parameter's value; empty when it is missing."""
        for key, value in self.parameters:
            if key == name:
                return value
        return ""

    def covers(self, media_type: str) -> bool:
        """Whether the range includes a media type."""
        kind, _, subtype = media_type.partition("/")
        return self.type in ("*", kind) and self.subtype in ("*", subtype)


class Acceptable(NamedTuple):
    """A form that can be produced. ``kind`` is ``""``, ``Table``, ``PartialObjectMetadata`` or its list."""

    media_type: str
    kind: str = ""
    version: str = "v1"

    @property
    def content_type(self) -> bytes:
        """The media type, as the header ``Content-Type`` has it."""
        return self.media_type.encode()


@lru_cache(_CACHED_HEADERS)
def media_ranges(header: str) -> tuple[MediaRange, ...]:
    """Parse an ``Accept`` header, best entry first. Invalid entries are skipped; an empty header accepts anything."""
    if not header.strip():
        return (MediaRange("*", "*", (), 1.0),)
    found = [entry for text in _split(header, ",") if (entry := _media_range(text)) is not None]
    return tuple(sorted((entry for entry in found if entry.quality > 0), key=lambda entry: -entry.quality))


def _split(text: str, separator: str) -> list[str]:
    """Split at separators outside of quotes."""
    if '"' not in text:
        return text.split(separator)
    parts, start, quoted, index = [], 0, False, 0
    while index < len(text):
        letter = text[index]
        if letter == '"':
            quoted = not quoted
        elif letter == "\\" and quoted:
            index += 1
        elif letter == separator and not quoted:
            parts.append(text[start:index])
            start = index + 1
        index += 1
    parts.append(text[start:])
    return parts


def _media_range(text: str) -> MediaRange | None:
    name, *rest = _split(text, ";")
    kind, slash, subtype = name.strip().lower().partition("/")
    if not slash or not kind or not subtype or (kind == "*" and subtype != "*"):
        return None
    quality = 1.0
    parameters = []
    for entry in rest:
        key, _, value = entry.partition("=")
        key, value = key.strip().lower(), value.strip()
        if value.startswith('"') and value.endswith('"') and len(value) > 1:
            value = value[1:-1].replace("\\", "")
        if key == "q":
            quality = _quality(value)
        elif key:
            parameters.append((key, value))
    return MediaRange(kind, subtype, tuple(parameters), quality)


def _quality(text: str) -> float:
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        return 0.0
    return min(float(text), 1.0)


@lru_cache(_CACHE_SIZE)
def _negotiated(header: str, offered: tuple[str, ...], kinds: tuple[str, ...]) -> Acceptable | None:
    for entry in media_ranges(header):
        media_type = next((name for name in offered if entry.covers(name)), None)
        if media_type is None:
            continue
        kind = entry.parameter("as")
        if not kind:
            return Acceptable(media_type)
        version = entry.parameter("v")
        if kind in kinds and entry.parameter("g") == _META and version in _META_VERSIONS:
            return Acceptable(media_type, kind, version)
    return None


_SINGLE_KINDS: Final = ("Table", PARTIAL)
_LIST_KINDS: Final = ("Table", PARTIAL_LIST)


def negotiate(
    accept: bytes, *, kinds: tuple[str, ...] = (), offered: tuple[str, ...] = OBJECT_MEDIA_TYPES
) -> Acceptable:
    """Return the first acceptable form of those offered. Raises StatusError 406 when there is none."""
    found = _negotiated(accept[:_LONGEST_HEADER].decode("latin-1"), offered, kinds)
    if found is None:
        raise errors.not_acceptable(offered)
    return found


class View(NamedTuple):
    """The form of a response: its media type and its representation."""

    yaml: bool
    representation: Representation
    content_type: bytes
    protobuf: bool = False


_INCLUDE: Final = ("", "None", "Metadata", "Object")
PLAIN: Final = (b"", b"application/json", b"*/*")
"""The headers ``Accept`` that nearly all requests have, and the view that they mean."""
PLAIN_VIEW: Final = View(False, WHOLE_OBJECTS, b"application/json")
YAML_VIEW: Final = View(True, WHOLE_OBJECTS, b"application/yaml")
PROTOBUF_VIEW: Final = View(False, ProtobufObjects(), PROTOBUF.encode(), protobuf=True)
_TABLES: Final = {
    (version, include): TableRows(version, include or "Metadata") for version in _META_VERSIONS for include in _INCLUDE
}
_METADATA: Final = {version: MetadataOnly(version) for version in _META_VERSIONS}
_PROTOBUF_METADATA: Final = {version: ProtobufMetadata(version) for version in _META_VERSIONS}
_KINDS: Final = {
    "get": _SINGLE_KINDS,
    "list": _LIST_KINDS,
    "watch": ("Table", PARTIAL, PARTIAL_LIST),
    "deletecollection": _LIST_KINDS,
}


def view(accept: bytes, verb: str, include_object: str = "", type_: ResourceType | None = None) -> View:
    """Return the form of the response to a verb on objects: protobuf only for clients that accept nothing else.

    Raises StatusError 400 or 406.
    """
    if accept in PLAIN:
        return PLAIN_VIEW
    offered = (JSON,) if verb == "watch" else OBJECT_MEDIA_TYPES
    header = accept[:_LONGEST_HEADER].decode("latin-1")
    stored = type_ is None or type_.stored  # a review has no other form: nothing lists it
    kinds = _KINDS.get(verb, _SINGLE_KINDS) if stored else ()
    found = _negotiated(header, offered, kinds)
    if found is None:
        return _protobuf_view(header, kinds, offered, whole=type_ is not None and type_.has_protobuf)
    if not found.kind:
        return PLAIN_VIEW if found.media_type == JSON else YAML_VIEW
    if found.kind != "Table":
        return View(found.media_type == YAML, _METADATA[found.version], found.content_type)
    if include_object not in _INCLUDE:
        raise errors.bad_request(f'includeObject must be "None", "Metadata" or "Object", not "{include_object}"')
    return View(found.media_type == YAML, _TABLES[found.version, include_object], found.content_type)


def _protobuf_view(header: str, kinds: tuple[str, ...], offered: tuple[str, ...], *, whole: bool) -> View:
    """Return the form for a client that accepts only protobuf; ``whole``: the type has a message. Raises StatusError 406."""
    found = _negotiated(header, (PROTOBUF,), tuple(kind for kind in kinds if kind != "Table"))
    if found is not None and found.kind:
        return View(False, _PROTOBUF_METADATA[found.version], found.content_type, protobuf=True)
    if found is None or not whole:
        raise errors.not_acceptable((*offered, PROTOBUF) if whole else offered)
    return PROTOBUF_VIEW


def status_view(accept: bytes) -> View:
    """Return the form of a Status: JSON when nothing acceptable is offered."""
    if accept in PLAIN:
        return PLAIN_VIEW
    header = accept[:_LONGEST_HEADER].decode("latin-1")
    found = _negotiated(header, OBJECT_MEDIA_TYPES, ())
    if found is not None:
        return PLAIN_VIEW if found.media_type == JSON else YAML_VIEW
    kinds = (*_SINGLE_KINDS, *_LIST_KINDS)
    takes_json = _negotiated(header, OBJECT_MEDIA_TYPES, kinds) is not None
    return PLAIN_VIEW if takes_json or _negotiated(header, (PROTOBUF,), ()) is None else PROTOBUF_VIEW


def body_media_type(content_type: bytes, accepted: tuple[str, ...]) -> str:
    """Return the media type of a body; the first accepted one when the header is missing. Raises StatusError 415."""
    name = content_type.partition(b";")[0].strip().lower().decode("latin-1")
    if not name:
        return accepted[0]
    if name not in accepted:
        raise errors.unsupported_media_type(accepted)
    return name


AGGREGATED_GROUP: Final = "apidiscovery.k8s.io"


@lru_cache(_CACHE_SIZE)
def _aggregated(header: str, versions: tuple[str, ...]) -> str | None:
    for entry in media_ranges(header):
        if not entry.covers(JSON):
            continue
        kind = entry.parameter("as")
        if not kind:
            return None
        if kind == "APIGroupDiscoveryList" and entry.parameter("g") == AGGREGATED_GROUP:
            version = entry.parameter("v")
            if version in versions:
                return version
    return None


def aggregated_version(accept: bytes, versions: tuple[str, ...]) -> str | None:
    """Return the version of aggregated discovery that the client prefers (KEP-3352); None for unaggregated discovery."""
    return _aggregated(accept[:_LONGEST_HEADER].decode("latin-1"), versions)
