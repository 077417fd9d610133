"""Finds and reads the folders of the built-in types (`kcp.builtin` says what is in one).

Only what serving needs is read at start: the first document of each ``type.yaml``. Groups and protobuf messages are read when a
client first asks for discovery or protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from kcp.api import packaged_yaml
from kcp.api.protobuf.messages import Declarations
from kcp.builtin.context import Definition
from kcp.registry.documents.groups import Group

_PACKAGE: Final = f"{__package__}.types"
_TYPES: Final = Path(__file__).with_name("types")
"""A path rather than `importlib.resources`, whose import would slow the start down."""
_TYPE: Final = "type.yaml"
_GROUP: Final = "group.yaml"
_SHARED_SCHEMAS: Final = "schemas.yaml"
_CUSTOM_MESSAGES: Final = "messages.json"
_UNQUALIFIED: Final = "v1"
"""The version whose messages are named after the group alone; those of another have it in their names: ``autoscaling/v2``."""
_NEXT_DOCUMENT: Final = b"\n---\n"
_REFERENCE: Final = "#/$defs/"


class BuiltinType(NamedTuple):
    """A type's folder, its declaration, and the Python package that holds its strategy (None where it has none of its own)."""

    folder: Path
    definition: Definition
    package: str | None


@cache
def load_types() -> list[BuiltinType]:
    """All declared types, in the order of their groups' folders. They share parts of schemas: the caller changes nothing."""
    folders = [folder for group in _folders() for folder in _type_folders(group)]
    documents = [(_TYPES / _SHARED_SCHEMAS).read_bytes(), *(_first_document(folder / _TYPE) for folder in folders)]
    # one parser for all documents is faster than one for each
    shared, *definitions = packaged_yaml.load_all(_NEXT_DOCUMENT.join(documents))
    references = {name: _references(schema) for name, schema in shared.items()}
    found = []
    for folder, definition in zip(folders, definitions, strict=True):
        for version in definition["spec"]["versions"]:
            _complete(version["schema"]["openAPIV3Schema"], shared, references)
        has_strategy = (folder / "__init__.py").is_file()
        package = f"{_PACKAGE}.{folder.parent.name}.{folder.name}" if has_strategy else None
        found.append(BuiltinType(folder, definition, package))
    return found


def load_groups() -> dict[str, Group]:
    """The declared API groups by name. A group without a ``group.yaml`` is not among them."""
    found = {}
    for file in sorted(_TYPES.glob(f"*/{_GROUP}")):
        declared = _first(file)
        found[declared["group"]] = Group(declared["priority"], declared.get("package"))
    return found


def load_messages() -> Declarations:
    """The protobuf messages of all groups, by the names of the groups' folders, and the kinds that they are the form of."""
    messages: dict[str, dict[str, Mapping[str, str]]] = {}
    kinds: dict[tuple[str, str], str] = {}
    specs = {declared.folder: declared.definition["spec"] for declared in load_types()}
    for group in _folders():
        table = messages[group.name] = {}
        file = group / _GROUP
        if file.is_file():
            table.update(_second(file))
            kinds.update(_kinds_without_folder(_first(file), group.name))
        for folder in _type_folders(group):
            own = _second(folder / _TYPE)
            table.update(own)
            if not own:
                continue
            spec = specs[folder]
            kind = spec["names"]["kind"]
            for version in spec["versions"]:
                kinds[_api_version(spec["group"], version["name"]), kind] = f"{group.name}.{kind}"
        _add_custom(group, messages, kinds)
    return Declarations(messages, kinds)


def _add_custom(
    group: Path, messages: dict[str, dict[str, Mapping[str, str]]], kinds: dict[tuple[str, str], str]
) -> None:
    """Add the messages of a group's kinds that are served as custom resources."""
    file = group / _CUSTOM_MESSAGES
    if not file.is_file():
        return
    name = _first(group / _GROUP)["group"]
    for version, declared in orjson.loads(file.read_bytes()).items():
        qualifier = group.name if version == _UNQUALIFIED else f"{group.name}/{version}"
        messages.setdefault(qualifier, {}).update(declared["messages"])
        kinds.update({(_api_version(name, version), kind): f"{qualifier}.{kind}" for kind in declared["kinds"]})


def _kinds_without_folder(declared: Definition, folder: str) -> dict[tuple[str, str], str]:
    """The ``kinds`` of a group's declaration, with the qualified names of their messages."""
    return {
        (_api_version(declared["group"], version), kind): f"{folder}.{kind}"
        for version, names in declared.get("kinds", {}).items()
        for kind in names
    }


def _folders() -> list[Path]:
    """The folders of groups."""
    return sorted(path for path in _TYPES.iterdir() if path.is_dir() and path.name != "__pycache__")


def _type_folders(group: Path) -> list[Path]:
    return sorted(file.parent for file in group.glob(f"*/{_TYPE}"))


def _first(file: Path) -> Definition:
    declared: Definition = packaged_yaml.load(_first_document(file))
    return declared


def _first_document(file: Path) -> bytes:
    return file.read_bytes().partition(_NEXT_DOCUMENT)[0]


def _second(file: Path) -> dict[str, Mapping[str, str]]:
    content = file.read_bytes().partition(_NEXT_DOCUMENT)[2]
    return dict(packaged_yaml.load(content)) if content else {}


def _api_version(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def _complete(schema: Definition, shared: Mapping[str, Definition], references: Mapping[str, set[str]]) -> None:
    """Copy the shared schemas that a schema refers to, directly or not, into its ``$defs``.

    ``references`` are those of each shared schema.
    """
    pending = _references(schema)
    if not pending:
        return
    own = schema.setdefault("$defs", {})
    while pending:
        name = pending.pop()
        if name not in own:
            own[name] = shared[name]
            pending |= references[name]


def _references(schema: Any) -> set[str]:
    """The names of the shared schemas that a schema refers to directly."""
    found: set[str] = set()
    nodes = [schema]
    for node in nodes:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str):
                found.add(reference.removeprefix(_REFERENCE))
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    return found
