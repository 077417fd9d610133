"""Documents that are kept compressed: those of many definitions are tens of megabytes, and a tenth of that as gzip.

Most clients accept gzip and get the kept bytes; for the others the document is decompressed piece by piece.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_LEVEL: Final = 1
_GZIP: Final = 31
"""zlib's number for the largest window and gzip's format."""
_PIECE: Final = 256 * 1024


def entity_tag(digest: hashlib._Hash) -> str:
    """The entity tag of a document: a hash of its content, in upper-case hex as Kubernetes gives it, in quotes."""
    return f'"{digest.hexdigest().upper()}"'


class PackedDocument(NamedTuple):
    """A document as gzip, its entity tag (quotes included), and its length when it is decompressed."""

    gzip: bytes
    etag: str
    length: int

    @classmethod
    def of(cls, parts: Iterable[bytes]) -> PackedDocument:
        """Compress a document that is given in parts."""
        compressor, digest, length = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP), hashlib.sha512(), 0
        found = []
        for part in parts:
            found.append(compressor.compress(part))
            digest.update(part)
            length += len(part)
        found.append(compressor.flush())
        return cls(b"".join(found), entity_tag(digest), length)

    @property
    def size(self) -> int:
        """The size in bytes, as it is kept."""
        return len(self.gzip) + 512

    @property
    def body(self) -> bytes:
        """The decompressed document."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        """The decompressed document in pieces of 256 KB."""
        decompressor = zlib.decompressobj(_GZIP)
        waiting = self.gzip
        while waiting:
            yield decompressor.decompress(waiting, _PIECE)
            waiting = decompressor.unconsumed_tail
        if rest := decompressor.flush():
            yield rest


class PackedParts(NamedTuple):
    """Byte strings, compressed together."""

    content: bytes
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, parts: Iterable[bytes]) -> PackedParts:
        """Compress byte strings."""
        found = tuple(parts)
        return cls(zlib.compress(b"".join(found), _LEVEL), tuple(map(len, found)))

    @property
    def size(self) -> int:
        """The size in bytes, as it is kept."""
        return len(self.content) + 32 * len(self.lengths) + 128

    def unpack(self) -> Iterator[bytes]:
        """The byte strings."""
        content, start = memoryview(zlib.decompress(self.content, bufsize=sum(self.lengths) or 1)), 0
        for length in self.lengths:
            yield bytes(content[start : start + length])
            start += length
