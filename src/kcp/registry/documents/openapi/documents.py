"""The OpenAPI documents of a surface: the index and one document per group version (version 3), and Swagger 2.0.

Documents are built on first request and kept in the bounded `document_cache`. All functions are pure and may
run in any thread.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from kcp import __version__
from kcp.api.kinds import version_order
from kcp.registry.documents.discovery import Document, document
from kcp.registry.documents.document_cache import DocumentCache
from kcp.registry.documents.groups import group_order
from kcp.registry.documents.openapi import swagger_protobuf, v3_protobuf
from kcp.registry.documents.openapi.fragments import (
    PROTOBUF,
    SWAGGER,
    V3,
    TypeFragment,
    build,
    group_version_path,
    qualified_names,
    with_shared,
)
from kcp.registry.documents.openapi.names import document_name
from kcp.registry.documents.openapi.shared import full_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kcp.registry.types.resource_types import ResourceType

_V3_PROTOBUF: Final = "v3 as protobuf"
_INFO: Final = {"title": "kcp", "version": f"v{__version__}"}
_SECURITY: Final = {swagger_protobuf.BEARER_NAME: swagger_protobuf.BEARER}


class OpenAPIDocuments:
    """The OpenAPI documents of a set of resource types.

    Raises ValueError from any method when a built-in type's schema refers to a definition that does not exist.
    """

    def __init__(self, types: Iterable[ResourceType], cache: DocumentCache | None = None) -> None:
        """``cache`` is one for all forms; by default each form has one of its own."""
        found: dict[tuple[str, str], list[ResourceType]] = {}
        for type_ in types:
            found.setdefault((type_.group, type_.version), []).append(type_)
        caches: Mapping[str, DocumentCache] = _CACHES if cache is None else dict.fromkeys(_CACHES, cache)
        self._whole = _WHOLE if cache is None else cache
        self._groups: dict[str, _GroupVersion] = {
            document_name(*key): _GroupVersion(*key, sorted(found[key], key=lambda type_: type_.plural), caches)
            for key in sorted(found, key=lambda key: (group_order(key[0]), version_order(key[1])))
        }
        self._types = tuple(type_ for group in self._groups.values() for type_ in group.types)
        self._index: Document | None = None

    def index(self) -> Document:
        """``/openapi/v3``: where the document of each group version is, by a URL that changes with its content."""
        if self._index is None:
            paths = {name: {"serverRelativeURL": url(name, group.digest())} for name, group in self._groups.items()}
            self._index = document(orjson.dumps({"paths": paths}))
        return self._index

    def v3(self, name: str) -> Document | None:
        """``/openapi/v3/<name>``, where name is ``api/v1`` or ``apis/<group>/<version>``; None when it is not served.

        A request whose ``hash`` is not the document's digest is redirected to `url` with that digest.
        """
        group = self._groups.get(name)
        return None if group is None else group.document()

    def v3_protobuf(self, name: str) -> Document | None:
        """The document of `v3` as gnostic's protobuf."""
        group = self._groups.get(name)
        return None if group is None else group.protobuf()

    def v2_json(self) -> Document:
        """``/openapi/v2`` as JSON."""
        return self._whole.get((SWAGGER, self._types), lambda: _Packed.of(self._swagger())).document()

    def v2_protobuf(self) -> Document:
        """``/openapi/v2`` as gnostic's protobuf."""
        return self._whole.get((PROTOBUF, self._types), lambda: _Packed.of(self._protobuf())).document()

    def _swagger(self) -> Document:
        paths, definitions = self._parts(SWAGGER)
        head = {"swagger": "2.0", "info": _INFO}
        tail = {"securityDefinitions": _SECURITY, "security": [{swagger_protobuf.BEARER_NAME: []}]}
        return document(
            orjson.dumps(head)[:-1]
            + b',"paths":{'
            + b",".join(paths)
            + b'},"definitions":{'
            + b",".join(definitions)
            + b"},"
            + orjson.dumps(tail)[1:]
        )

    def _protobuf(self) -> Document:
        return document(swagger_protobuf.document(_INFO, *self._parts(PROTOBUF)))

    def _parts(self, form: str) -> tuple[list[bytes], list[bytes]]:
        paths: list[bytes] = []
        definitions: dict[str, bytes] = {}
        references: set[str] = set()
        for group in self._groups.values():
            paths.append(group_version_path(group.group, group.version, form))
            for fragment in group.fragments(form):
                paths.extend(fragment.paths)
                definitions.update(fragment.definitions)
                references |= fragment.references
        return paths, with_shared(definitions, [*references, _resource_list()], form)


class _Packed(NamedTuple):
    """A document of all types, compressed: it repeats the fragments, and takes a tenth of their size."""

    content: bytes
    etag: str

    @classmethod
    def of(cls, whole: Document) -> _Packed:
        """Compress a document."""
        return cls(zlib.compress(whole.body, 1), whole.etag)

    @property
    def size(self) -> int:
        """The size in bytes."""
        return len(self.content) + 512

    def document(self) -> Document:
        """Decompress the document."""
        return Document(zlib.decompress(self.content), self.etag)


_CACHES: Final = {form: DocumentCache() for form in (V3, SWAGGER, PROTOBUF)}
"""By form: fragments, and the documents of group versions. The forms do not push one another out."""
_WHOLE: Final = DocumentCache()
"""The documents of all types, `_Packed`."""


class _Digest(NamedTuple):
    text: str
    size: int = 1


_digests: Final = DocumentCache(limit=4096)
"""The hashes of documents, limited by number: the index must not rebuild thousands of documents because one has changed."""


class _GroupVersion:
    """The types of one group version."""

    def __init__(
        self, group: str, version: str, types: Sequence[ResourceType], caches: Mapping[str, DocumentCache]
    ) -> None:
        self.group = group
        self.version = version
        self.types = tuple(types)
        self._caches = caches

    def digest(self) -> str:
        """The hash of the document."""
        return _digests.get(self.types, lambda: _Digest(self.document().digest)).text

    def document(self) -> Document:
        return self._caches[V3].get((V3, self.types), self._build)

    def protobuf(self) -> Document:
        return self._caches[V3].get((_V3_PROTOBUF, self.types), self._encode)

    def _encode(self) -> Document:
        return document(v3_protobuf.document(orjson.loads(self.document().body)))

    def fragments(self, form: str) -> list[TypeFragment]:
        clashing = qualified_names(self.types)
        return [self._fragment(type_, clashing, form) for type_ in self.types]

    def _fragment(self, type_: ResourceType, clashing: frozenset[str], form: str) -> TypeFragment:
        return self._caches[form].get((form, type_, clashing), lambda: build(type_, clashing, form))

    def _build(self) -> Document:
        paths = [group_version_path(self.group, self.version, V3)]
        definitions: dict[str, bytes] = {}
        references = {_resource_list()}
        for fragment in self.fragments(V3):
            paths.extend(fragment.paths)
            definitions.update(fragment.definitions)
            references |= fragment.references
        head: dict[str, Any] = {"openapi": "3.0.0", "info": _INFO, "security": [{swagger_protobuf.BEARER_NAME: []}]}
        return document(
            orjson.dumps(head)[:-1]
            + b',"paths":{'
            + b",".join(paths)
            + b'},"components":{"securitySchemes":'
            + orjson.dumps(_SECURITY)
            + b',"schemas":{'
            + b",".join(with_shared(definitions, references, V3))
            + b"}}}"
        )


def _resource_list() -> str:
    return full_name("APIResourceList")


def url(name: str, digest: str) -> str:
    """The URL of a group version's document, with the hash that makes it cacheable forever."""
    return f"/openapi/v3/{name}?hash={digest}"
