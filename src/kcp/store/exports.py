"""The export file, which carries a log's state between backends of any kind.

JSON lines, gzipped or not. The first line is the header, each further line an entry, the last line the end::

    {"format":"kcp-export","version":1,"revision":120,"logicalCluster":null}
    {"key":["configmaps","root","default","a"],"revision":7,"tag":"61f0","value":"{...}"}
    {"end":{"entries":1,"logicalClusters":1,"sha256":"..."}}

``revision`` in the header is the log's revision that the file shows; ``logicalCluster`` names the single logical cluster of
the file, or is null for all of them. An entry's ``key`` is resource, logical cluster, namespace and name (the empty string where
there is none), ``revision`` is the revision that wrote it, ``tag`` the opaque string stored with the value. A value that is not
UTF-8 is in ``base64`` instead of ``value``. ``due`` is the time at which an entry with a lifetime expires, in seconds since 1970.
Entries come in any order, each key once. ``sha256`` is the digest of all lines before the last, line ends included, before
compression.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import orjson

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Key, LogError

FORMAT: Final = "kcp-export"
VERSION: Final = 1
_GZIP: Final = b"\x1f\x8b"
_LONGEST_LINE: Final = 64 << 20
_LEVEL: Final = 6
"""gzip's compression level: level 9 is much slower and saves little."""


class DamagedExportError(LogError):
    """The file is not a complete export: it was cut off or changed, or is something else."""


class Header(NamedTuple):
    """What a file contains: the log's state at ``revision``, of one logical cluster or of all (WILDCARD)."""

    revision: int
    logical_cluster: LogicalClusterName = WILDCARD


class Entry(NamedTuple):
    """One key's state. ``due`` is its expiry time in seconds since the epoch; None for a key without a lifetime."""

    key: Key
    revision: int
    value: bytes
    tag: str = ""
    due: int | None = None


class Summary(NamedTuple):
    """A complete file: its header, and the counts and checksum of its last line."""

    header: Header
    entries: int
    logical_clusters: frozenset[str]
    sha256: str

    @property
    def end(self) -> dict[str, Any]:
        """The content of the last line."""
        return {"entries": self.entries, "logicalClusters": len(self.logical_clusters), "sha256": self.sha256}


class ExportWriter:
    """An export that is being written. Made by `writing`."""

    def __init__(self, stream: IO[bytes], header: Header) -> None:
        self._stream = stream
        self._header = header
        self._digest = hashlib.sha256()
        self.entries = 0
        self._clusters: set[LogicalClusterName] = set()
        self.summary: Summary | None = None
        first = {"format": FORMAT, "version": VERSION, "revision": header.revision}
        only = None if header.logical_cluster == WILDCARD else header.logical_cluster
        self._put({**first, "logicalCluster": only})

    def add(self, entries: Iterable[Entry]) -> None:
        """Write entries."""
        for key, revision, value, tag, due in entries:
            line: dict[str, Any] = {"key": list(key), "revision": revision, "tag": tag}
            try:
                line["value"] = value.decode()
            except UnicodeDecodeError:
                line["base64"] = base64.b64encode(value).decode()
            if due is not None:
                line["due"] = due
            self._put(line)
            self.entries += 1
            if key[1]:
                self._clusters.add(key[1])

    def end(self) -> None:
        """Write the last line."""
        digest = self._digest.hexdigest()
        self.summary = Summary(self._header, self.entries, frozenset(self._clusters), digest)
        self._put({"end": self.summary.end})

    def _put(self, content: dict[str, Any]) -> None:
        line = orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)
        self._digest.update(line)
        self._stream.write(line)


@contextlib.contextmanager
def writing(path: Path, header: Header) -> Iterator[ExportWriter]:
    """Write a new file, gzipped if its name ends in ``.gz``. It appears, complete and synced, when the block ends.

    Only its owner may read it, since it may hold secrets. Raises FileExistsError, OSError.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists; name a new file")
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if path.suffix == ".gz":
                # without a name and a time in its header, so that equal states make equal files
                with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                    writer = ExportWriter(cast("IO[bytes]", packed), header)
                    yield writer
                    writer.end()
            else:
                writer = ExportWriter(file, header)
                yield writer
                writer.end()
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def is_export(path: Path) -> bool:
    """Whether a file begins like an export. Raises OSError."""
    with path.open("rb") as file:
        begin = file.read(32)
    return begin.startswith((_GZIP, b'{"format":'))


def verify(path: Path) -> Summary:
    """Read and check a whole file. Raises DamagedExportError, OSError."""
    reading = Reading(path)
    for _ in reading:
        pass
    assert reading.summary is not None
    return reading.summary


class Reading:
    """The entries of a file. ``summary`` is set once the last entry has been read and the checksum has matched."""

    def __init__(self, path: Path, expected: Summary | None = None) -> None:
        """``expected`` is the summary of an earlier reading; a file that has changed since is an error."""
        self._path = path
        self._expected = expected
        self.summary: Summary | None = None

    def __iter__(self) -> Iterator[Entry]:
        """Raises DamagedExportError, OSError."""
        try:
            with self._path.open("rb") as file:
                packed = file.read(len(_GZIP)) == _GZIP
                file.seek(0)
                if packed:
                    with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
                        yield from self._read(cast("IO[bytes]", unpacked))
                else:
                    yield from self._read(file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise self._damaged("its compressed content is damaged or cut off") from error

    def _read(self, stream: IO[bytes]) -> Iterator[Entry]:
        digest = hashlib.sha256()
        line = stream.readline(_LONGEST_LINE)
        header = self._header(line)
        digest.update(line)
        count, clusters = 0, set[str]()
        while True:
            line = stream.readline(_LONGEST_LINE)
            if not line.endswith(b"\n"):
                raise self._damaged("it is cut off: its last line is missing")
            if line.startswith(b'{"end":'):
                break
            digest.update(line)
            entry = self._entry(line, count + 2)
            count += 1
            if entry.key.cluster:
                clusters.add(entry.key.cluster)
            yield entry
        found = Summary(header, count, frozenset(clusters), digest.hexdigest())
        self._compare(line, found)
        if stream.read(1):
            raise self._damaged("something follows its last line")
        self.summary = found

    def _header(self, line: bytes) -> Header:
        try:
            content = orjson.loads(line)
            if content["format"] != FORMAT:
                raise ValueError
            version, revision, cluster = content["version"], content["revision"], content.get("logicalCluster")
            if not (isinstance(version, int) and isinstance(revision, int) and isinstance(cluster, str | None)):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedExportError(f"{self._path} is not an export") from error
        if version > VERSION:
            raise DamagedExportError(
                f"{self._path} has version {version} of the format; this version of kcp reads up to {VERSION}: use a newer one"
            )
        return Header(revision, WILDCARD if cluster is None else LogicalClusterName(cluster))

    def _entry(self, line: bytes, number: int) -> Entry:
        try:
            content = orjson.loads(line)
            parts = content["key"]
            text = content.get("value")
            value = text.encode() if text is not None else base64.b64decode(content["base64"], validate=True)
            revision, tag, due = content["revision"], content["tag"], content.get("due")
            if not (
                isinstance(revision, int)
                and isinstance(tag, str)
                and isinstance(due, int | None)
                and all(isinstance(part, str) for part in parts)
            ):
                raise TypeError
            return Entry(Key(*parts), revision, value, tag, due)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise self._damaged(f"line {number} is not an entry") from error

    def _compare(self, line: bytes, found: Summary) -> None:
        try:
            stated = orjson.loads(line)["end"]
        except (ValueError, KeyError) as error:
            raise self._damaged("its last line cannot be read") from error
        if stated != found.end:
            raise self._damaged("its checksum or its counts are not those of its content")
        if self._expected is not None and self._expected != found:
            raise self._damaged("it was changed while it was being read")

    def _damaged(self, why: str) -> DamagedExportError:
        return DamagedExportError(f"{self._path} is not what was exported: {why}")
