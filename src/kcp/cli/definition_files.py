"""Reading of CustomResourceDefinitions and bare schemas from files, for commands that need no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from kcp.api import yaml_documents
from kcp.api.documents import MAX_BYTES, MAX_DEPTH
from kcp.api.yaml_expansion import ExpansionError
from kcp.api.yaml_input import YAMLError
from kcp.schema.compatibility.schemas import TOO_DEEP, is_too_deep

_KIND: Final = "CustomResourceDefinition"
_VERSION: Final = "apiextensions.k8s.io/v1"


class UnreadableError(Exception):
    """A file has no definition that can be read."""


class DefinitionFile(NamedTuple):
    """What a file holds: definitions by name, or one bare schema."""

    definitions: dict[str, dict[str, Any]]
    schema: dict[str, Any] | None


def read_definitions(path: Path, content: bytes) -> DefinitionFile:
    """Read YAML or JSON: one or more definitions (also in a List; other objects are skipped), or one schema.

    Raises UnreadableError.
    """
    try:
        documents = [each for each in _documents(content) if each is not None]
    except (YAMLError, ExpansionError) as error:
        raise UnreadableError(f"{path}: {error}") from error
    found: dict[str, dict[str, Any]] = {}
    schemas = []
    for document in _flattened(documents):
        if is_too_deep(document):
            raise UnreadableError(f"{path}: {TOO_DEEP}")
        if not isinstance(document, dict):
            raise UnreadableError(f"{path}: a document is neither a definition nor a schema")
        if "kind" not in document and "apiVersion" not in document:
            schemas.append(document)
        elif document.get("kind") == _KIND:
            name = _name(path, document)
            if name in found:
                raise UnreadableError(f"{path}: the definition {name} is there twice")
            found[name] = document
    if len(schemas) + bool(found) != 1:
        problem = "has more than one schema" if schemas else f"has no {_KIND} and no schema"
        raise UnreadableError(f"{path}: the file {problem}")
    return DefinitionFile(found, schemas[0] if schemas else None)


def _documents(content: bytes) -> list[Any]:
    if content.lstrip()[:1] in (b"{", b"["):
        try:
            return [orjson.loads(content)]
        except orjson.JSONDecodeError:
            pass  # a YAML flow mapping, or nested too deeply, which the YAML parser reports
    return yaml_documents.load_all(content, max_depth=MAX_DEPTH, max_size=MAX_BYTES)


def _flattened(documents: list[Any]) -> list[Any]:
    """The documents, and the items of those that are lists of objects (``kubectl get crds -o yaml``)."""
    found = []
    for document in documents:
        items = document.get("items") if isinstance(document, dict) else None
        is_list = isinstance(items, list) and str(document.get("kind", "")).endswith("List")
        found += items if is_list and isinstance(items, list) else [document]
    return found


def _name(path: Path, definition: dict[str, Any]) -> str:
    meta = definition.get("metadata")
    name = meta.get("name") if isinstance(meta, dict) else None
    if not isinstance(name, str):
        raise UnreadableError(f"{path}: a definition has no name")
    if definition.get("apiVersion") != _VERSION:
        raise UnreadableError(f"{path}: {name} is of {definition.get('apiVersion')}; convert it to {_VERSION}")
    return name
