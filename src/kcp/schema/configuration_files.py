"""Configuration files with a kind and a version, decoded strictly, as kube-apiserver decodes those of its flags.

A file is YAML or JSON. An unknown field, a duplicate one and a value of a wrong type are errors that name the path of the field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kcp.api import yaml_documents
from kcp.api.yaml_input import YAMLError
from kcp.cel import EvaluationError
from kcp.cel.times import SECOND, duration
from kcp.schema.compiled import CompiledSchema

STRING: Final = {"type": "string"}
BOOLEAN: Final = {"type": "boolean"}

_MAX_DEPTH: Final = 64
_MAX_SIZE: Final = 16 * 1024 * 1024


def object_of(**properties: Any) -> dict[str, Any]:
    """The schema of an object with these fields."""
    return {"type": "object", "properties": properties}


def list_of(items: dict[str, Any]) -> dict[str, Any]:
    """The schema of a list."""
    return {"type": "array", "items": items}


def seconds_of(text: str) -> float | None:
    """A duration as Go writes it, in seconds; None where it is malformed."""
    try:
        return duration(text) / SECOND
    except EvaluationError:
        return None


class ConfigurationFileError(ValueError):
    """A configuration file that cannot be used; the message names the fields, on one line."""

    def __init__(self, message: str) -> None:
        """``message`` may have several lines, as the problems of CEL expressions do."""
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of configuration file: its kind, the versions of its API group that are read, and its structural schema."""

    kind: str
    versions: Sequence[str]
    schema: Mapping[str, Any]

    def decode(self, content: bytes) -> dict[str, Any]:
        """Decode a file. The result has the fields of the schema, of their types or null.

        Raises ConfigurationFileError with one line, which shows no value of the file.
        """
        try:
            document, duplicates = yaml_documents.load(content, max_depth=_MAX_DEPTH, max_size=_MAX_SIZE)
        except YAMLError as error:
            raise ConfigurationFileError(f"not a YAML document: {' '.join(str(error).split())}") from None
        if not isinstance(document, dict):
            raise ConfigurationFileError(f"must be an object of kind {self.kind}")
        kind, version = document.pop("kind", None), document.pop("apiVersion", None)
        if kind != self.kind or version not in self.versions:
            raise ConfigurationFileError(f"must have kind {self.kind} and apiVersion {' or '.join(self.versions)}")
        schema = CompiledSchema(dict(self.schema))
        unknown: list[str] = []
        schema.prune(document, unknown)
        strict = [f'duplicate field "{path}"' for path in duplicates] + [f'unknown field "{path}"' for path in unknown]
        if strict:
            raise ConfigurationFileError(f"strict decoding error: {', '.join(strict)}")
        schema.default(document)
        if problems := schema.validate(document):
            raise ConfigurationFileError(", ".join(map(str, problems)))
        return document
