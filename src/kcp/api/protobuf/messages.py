"""The table of protobuf messages.

Kubernetes' protobuf is the second form of its Go structs: proto2 messages whose zero values mean what Go's JSON tags say
(omitted, shown, or told apart from absent by a pointer). The table says that, and the field numbers of the .proto files of
k8s.io/api and its kin. ``messages.yaml`` holds the messages of meta/v1; the others are declared from above (`declare`). The
table is read when the first protobuf body comes, and a message is compiled when it is first used.

A message is a map from field names to a text: the field's number; any of ``optional`` (a pointer: zero is a value), ``always``
(zero is shown), ``repeated`` and ``map``; ``patch=`` with the strategy of strategic merge patches and, after a colon, the merge
key; the type: a scalar, one of `WELL_KNOWN`, or a message, with its group where that is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

from kcp.api import packaged_yaml

SCALARS: Final = frozenset({"string", "bytes", "bool", "int32", "int64", "double"})
WELL_KNOWN: Final = frozenset(
    {"time", "micro-time", "quantity", "int-or-string", "json", "strings"}
    | {"schema-or-array", "schema-or-bool", "schema-or-strings"}
)
"""Messages that are something other than an object in JSON."""
INLINE: Final = "<inline>"
"""The field that holds an embedded Go struct: its fields are its owner's in JSON."""

_PATCH: Final = "patch="

_EVERYWHERE: Final = (
    "DeleteOptions", "Status", "APIVersions", "APIGroupList", "APIGroup", "APIResourceList", "PartialObjectMetadata"
)  # fmt: skip
"""Kinds of meta/v1 that are sent as any group's, or as none's."""


class Field(NamedTuple):
    """One field: its name in JSON, its type, what its zero value means, and how strategic merge patches merge it."""

    number: int
    name: str
    type: str
    repeated: bool = False
    mapped: bool = False
    optional: bool = False
    always: bool = False
    patch_strategy: str = ""
    merge_key: str = ""


class Message(NamedTuple):
    """A message's fields by number and by name.

    ``always`` are the scalars that JSON shows even if they are zero, ``lists`` the lists that it shows even if they are empty.
    """

    name: str
    by_number: dict[int, Field]
    by_name: dict[str, Field]
    always: tuple[Field, ...] = ()
    lists: tuple[Field, ...] = ()


class Declarations(NamedTuple):
    """Declared messages by group and name, and the qualified names of those that are kinds, by (apiVersion, kind)."""

    messages: Mapping[str, Mapping[str, Mapping[str, str]]]
    kinds: Mapping[tuple[str, str], str]


_sources: Final[dict[Callable[[], Declarations], None]] = {}


def declare(source: Callable[[], Declarations]) -> None:
    """Add a source of messages; it is called when a message is first looked up."""
    if source not in _sources:
        _sources[source] = None
        _declared.cache_clear()
        message.cache_clear()
        json_fields.cache_clear()


@cache
def message(name: str) -> Message:
    """The message of a qualified name, such as ``core.ConfigMap``. Raises KeyError for one that is not in the table."""
    group, _, short = name.partition(".")
    fields = [_field(label, words, group) for label, words in _declared().messages[group][short].items()]
    return Message(
        name,
        {entry.number: entry for entry in fields},
        {entry.name: entry for entry in fields},
        tuple(entry for entry in fields if entry.always and entry.type in SCALARS and not entry.repeated),
        tuple(entry for entry in fields if entry.always and entry.repeated),
    )


@cache
def json_fields(name: str) -> Mapping[str, Field]:
    """The fields of a message by their names in JSON, with those of the structs that Go embeds in it."""
    found: dict[str, Field] = {}
    for entry in message(name).by_name.values():
        found.update(json_fields(entry.type) if entry.name == INLINE else {entry.name: entry})
    return found


def root(api_version: str, kind: str) -> str | None:
    """The message of an object's kind; None where there is none."""
    if kind in _EVERYWHERE:
        return f"meta.{kind}"
    return _declared().kinds.get((api_version, kind))


def roots() -> list[tuple[str, str, str]]:
    """Every (apiVersion, kind, message) that there is."""
    found = [(api_version, kind, name) for (api_version, kind), name in _declared().kinds.items()]
    return found + [("v1", kind, f"meta.{kind}") for kind in _EVERYWHERE]


def _field(name: str, text: str, group: str) -> Field:
    number, *labels, type_ = text.split()
    patch = next((label.removeprefix(_PATCH) for label in labels if label.startswith(_PATCH)), "")
    strategy, _, merge_key = patch.partition(":")
    if type_ not in SCALARS and type_ not in WELL_KNOWN and "." not in type_:
        type_ = f"{group}.{type_}"
    return Field(
        int(number),
        name,
        type_,
        repeated="repeated" in labels,
        mapped="map" in labels,
        optional="optional" in labels,
        always="always" in labels,
        patch_strategy=strategy,
        merge_key=merge_key,
    )


@cache
def _declared() -> Declarations:
    content = resources.files(__package__).joinpath("messages.yaml").read_bytes()
    meta: dict[str, Any] = packaged_yaml.load(content)
    found = [source() for source in _sources]
    messages = {group: table for entry in found for group, table in entry.messages.items()}
    kinds = {kind: name for entry in found for kind, name in entry.kinds.items()}
    return Declarations({"meta": meta, **messages}, kinds)
