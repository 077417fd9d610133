"""Encryption configurations for tests, and what is in the files of a server."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml


def encoded(number: int, size: int = 32) -> str:
    """A key of a configuration: bytes that a number makes, in base64."""
    return base64.b64encode(bytes((number + index) % 256 for index in range(size))).decode()


def keys(kind: str, *names: str) -> dict[str, Any]:
    """A provider with keys; the number at the end of a name makes its secret."""
    return {kind: {"keys": [{"name": name, "secret": encoded(int(name[-1]))} for name in names]}}


IDENTITY: dict[str, Any] = {"identity": {}}


def configuration(*rules: tuple[Sequence[str], Sequence[dict[str, Any]]]) -> str:
    """The text of a configuration: rules of resources and providers."""
    resources = [{"resources": list(names), "providers": list(providers)} for names, providers in rules]
    document = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": resources}
    return yaml.safe_dump(document)


def secrets_with(*providers: dict[str, Any]) -> str:
    """The text of a configuration for Secrets."""
    return configuration((("secrets",), providers))


def written(path: Path, text: str) -> Path:
    """Replace a file, as an operator does: by renaming."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    return new.replace(path)


def containing(folder: Path, text: str) -> list[str]:
    """The names of the files below a folder that contain a text, also in base64, unpacked where they are gzipped."""
    needles = [text.encode(), base64.b64encode(text.encode()).rstrip(b"=")]
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            if content.startswith(b"\x1f\x8b"):
                content = gzip.decompress(content)
            if any(needle in content for needle in needles):
                found.append(path.name)
    return found
