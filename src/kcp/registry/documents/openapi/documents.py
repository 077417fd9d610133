"""The OpenAPI documents of a surface: the index and one document per group version (version 3), and Swagger 2.0.

Documents are put together from the fragments of their types on first request. Both are kept compressed in the bounded
`document_cache`, by their content: all logical clusters share them. All functions are pure and may run in any thread.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

import orjson

from kcp import __version__
from kcp.api.kinds import version_order
from kcp.registry.documents.discovery import Document, document
from kcp.registry.documents.document_cache import DocumentCache
from kcp.registry.documents.groups import group_order
from kcp.registry.documents.openapi import swagger_protobuf, v3_protobuf
from kcp.registry.documents.openapi.definition_names import document_name
from kcp.registry.documents.openapi.digests import digest_of
from kcp.registry.documents.openapi.fragments import (
    FORMS,
    PROTOBUF,
    SWAGGER,
    V3,
    V3_PROTOBUF,
    PackedFragment,
    TypeFragment,
    build,
    group_version_path,
    qualified_names,
    with_shared,
)
from kcp.registry.documents.openapi.shared import full_name
from kcp.registry.documents.packing import PackedDocument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from kcp.registry.types.resource_types import ResourceType

_INFO: Final = {"title": "kcp", "version": f"v{__version__}"}
_SECURITY: Final = {swagger_protobuf.BEARER_NAME: swagger_protobuf.BEARER}
_REQUIRED: Final[list[dict[str, list[str]]]] = [{swagger_protobuf.BEARER_NAME: []}]


class OpenAPIDocuments:
    """The OpenAPI documents of a set of resource types.

    Raises ValueError from any method that makes a document of a built-in type whose schema refers to a definition that does not
    exist.
    """

    def __init__(self, types: Iterable[ResourceType], cache: DocumentCache | None = None) -> None:
        """``cache`` is shared by all forms; by default each form has a cache of its own."""
        found: dict[tuple[str, str], list[ResourceType]] = {}
        for type_ in types:
            found.setdefault((type_.group, type_.version), []).append(type_)
        self._caches: Mapping[str, DocumentCache] = _CACHES if cache is None else dict.fromkeys(FORMS, cache)
        self._groups: dict[str, _GroupVersion] = {
            document_name(*key): _GroupVersion(*key, sorted(found[key], key=lambda type_: type_.plural), self._caches)
            for key in sorted(found, key=lambda key: (group_order(key[0]), version_order(key[1])))
        }
        self._index: Document | None = None

    def index(self) -> Document:
        """``/openapi/v3``: where the document of each group version is, by a URL that changes with its content."""
        if self._index is None:
            paths = {name: {"serverRelativeURL": url(name, group.digest)} for name, group in self._groups.items()}
            self._index = document(orjson.dumps({"paths": paths}))
        return self._index

    def digest(self, name: str) -> str | None:
        """The hash in the URL of a document of `v3`, which need not be made for it; None when it is not served."""
        group = self._groups.get(name)
        return None if group is None else group.digest

    def v3(self, name: str) -> PackedDocument | None:
        """``/openapi/v3/<name>``, where name is ``api/v1`` or ``apis/<group>/<version>``; None when it is not served.

        A request whose ``hash`` is not the document's digest is redirected to `url` with that digest.
        """
        group = self._groups.get(name)
        return None if group is None else group.document(V3)

    def v3_protobuf(self, name: str) -> PackedDocument | None:
        """The document of `v3` as gnostic's protobuf."""
        group = self._groups.get(name)
        return None if group is None else group.document(V3_PROTOBUF)

    def v2_json(self) -> PackedDocument:
        """``/openapi/v2`` as JSON."""
        return self._of_all_types(SWAGGER)

    def v2_protobuf(self) -> PackedDocument:
        """``/openapi/v2`` as gnostic's protobuf."""
        return self._of_all_types(PROTOBUF)

    def _of_all_types(self, form: str) -> PackedDocument:
        groups = self._groups.values()
        return self._caches[form].get((form, self._digest), lambda: PackedDocument.of(_joined(groups, form)))

    @cached_property
    def _digest(self) -> str:
        """The hash of what the documents of all types are made of."""
        return digest_of(type_ for group in self._groups.values() for type_ in group.types)


_CACHES: Final = {form: DocumentCache() for form in FORMS}
"""By form: fragments, and the documents that are made of them. No form evicts the documents of another."""


class _GroupVersion:
    """The types of one group version."""

    def __init__(
        self, group: str, version: str, types: Sequence[ResourceType], caches: Mapping[str, DocumentCache]
    ) -> None:
        self.group = group
        self.version = version
        self.types = tuple(types)
        self._caches = caches

    @cached_property
    def digest(self) -> str:
        """The hash in the document's URL."""
        return digest_of(self.types)

    def document(self, form: str) -> PackedDocument:
        """The document; as JSON, its entity tag is the hash in its URL."""
        found = self._caches[form].get((form, self.digest), lambda: PackedDocument.of(_joined([self], form)))
        return found._replace(etag=f'"{self.digest}"') if form == V3 else found

    def fragments(self, form: str) -> Iterator[TypeFragment]:
        clashing = qualified_names(self.types)
        return (self._fragment(type_, clashing, form) for type_ in self.types)

    def _fragment(self, type_: ResourceType, clashing: frozenset[str], form: str) -> TypeFragment:
        built: list[TypeFragment] = []

        def pack() -> PackedFragment:
            built.append(build(type_, clashing, form))
            return built[0].pack()

        packed = self._caches[form].get((form, type_.identity, clashing), pack)
        return built[0] if built else packed.unpack()


def _joined(groups: Iterable[_GroupVersion], form: str) -> Iterable[bytes]:
    """The document of some group versions, in parts."""
    paths: list[bytes] = []
    definitions: dict[str, bytes] = {}
    references = {full_name("APIResourceList")}
    for group in groups:
        paths.append(group_version_path(group.group, group.version, form))
        for fragment in group.fragments(form):
            paths.extend(fragment.paths)
            definitions.update(fragment.definitions)
            references |= fragment.references
    return _JOINED[form](paths, with_shared(definitions, references, form))


def _swagger(paths: Sequence[bytes], definitions: Sequence[bytes]) -> Iterator[bytes]:
    yield orjson.dumps({"swagger": "2.0", "info": _INFO})[:-1]
    yield from _member(b"paths", paths)
    yield from _member(b"definitions", definitions)
    yield b"," + orjson.dumps({"securityDefinitions": _SECURITY, "security": _REQUIRED})[1:]


def _v3(paths: Sequence[bytes], definitions: Sequence[bytes]) -> Iterator[bytes]:
    yield orjson.dumps({"openapi": "3.0.0", "info": _INFO, "security": _REQUIRED})[:-1]
    yield from _member(b"paths", paths)
    yield b',"components":{"securitySchemes":' + orjson.dumps(_SECURITY)
    yield from _member(b"schemas", definitions)
    yield b"}}"


def _member(name: bytes, entries: Sequence[bytes]) -> Iterator[bytes]:
    """A further member of a JSON object: the object of entries."""
    yield b',"' + name + b'":{'
    for index, entry in enumerate(entries):
        yield b"," + entry if index else entry
    yield b"}"


_JOINED: Final[dict[str, Callable[[Sequence[bytes], Sequence[bytes]], Iterable[bytes]]]] = {
    V3: _v3,
    V3_PROTOBUF: partial(v3_protobuf.document, _INFO, _SECURITY),
    SWAGGER: _swagger,
    PROTOBUF: partial(swagger_protobuf.document, _INFO),
}
"""By form: puts a document together from its paths and definitions."""


def url(name: str, digest: str) -> str:
    """The URL of a group version's document, with the hash that makes it cacheable forever."""
    return f"/openapi/v3/{name}?hash={digest}"
