"""The hash that names a group version's document in its URL, known without the document.

A client may keep a document for ever under a URL with its hash (KEP-2896), and asks for the index first. So the hash is that of
what the document is made of: the declarations of the types, and the program that publishes them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from kcp import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kcp.registry.types.resource_types import ResourceType

_SOURCES: Final = ("kcp.registry.documents.openapi", "kcp.registry.documents", "kcp.schema", "kcp.api.protobuf")
"""The packages whose modules decide how types are published."""


def digest_of(types: Iterable[ResourceType]) -> str:
    """The hash of a document of these types, in the order in which it has them."""
    found = hashlib.sha512(_program())
    for type_ in types:
        found.update(type_.identity)
    return found.hexdigest().upper()


@cache
def _program() -> bytes:
    """A hash of the program, so that a change of how types are published changes the URLs of all documents."""
    found = hashlib.sha256(__version__.encode())
    for package in _SOURCES:
        for entry in sorted(files(package).iterdir(), key=lambda entry: entry.name):
            if entry.is_file():
                found.update(entry.read_bytes())
    return found.digest()
