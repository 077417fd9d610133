"""The audit log file: appended to, rotated by size, and opened again when another program has renamed or removed it.

Rotated files are named as kube-apiserver names them (lumberjack): ``audit-2026-11-27T16-12-24.123.log`` beside ``audit.log``,
with ``.gz`` when they are compressed. Only one server writes a file: a lock on the file shows a second one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import gzip
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

_MODE: Final = 0o600
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
"""A pipe without a reader is an error, and not waited for."""
_STANDARD_OUTPUT: Final = 1
_CHECKED_EVERY: Final = 1.0
"""Seconds between checks whether the file is still the one of its path."""
_TIME: Final = "%Y-%m-%dT%H-%M-%S"
_ROTATED: Final = re.compile(r"-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d)\.\d{3}$")


class LogFile:
    """A file of lines. Its methods block; one thread calls them."""

    def __init__(
        self, path: Path | None, *, max_bytes: int, max_age_days: int, max_backups: int, compress: bool
    ) -> None:
        """``path`` of None is the standard output, which is never rotated; limits of 0 are none."""
        self._path = path
        self._max_bytes = max_bytes
        self._max_age = dt.timedelta(days=max_age_days)
        self._max_backups = max_backups
        self._compress = compress
        self._file = -1
        self._regular = False
        self._size = 0
        self._checked = 0.0
        self._cleaning = threading.Lock()

    def open(self) -> None:
        """Open the file, and create it and its directory where they are missing. Raises OSError."""
        if self._path is None:
            self._file = _STANDARD_OUTPUT
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, _FLAGS, _MODE)
        try:
            os.set_blocking(descriptor, True)
            found = os.fstat(descriptor)
            if stat.S_ISREG(found.st_mode):
                _lock(descriptor, self._path)
        except BaseException:
            os.close(descriptor)
            raise
        self._file, self._regular, self._size = descriptor, stat.S_ISREG(found.st_mode), found.st_size
        self._checked = time.monotonic()
        self._clean()

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, each with its line break. A line is never split between two files. Raises OSError."""
        if self._file < 0:
            self.open()
        self._follow_path()
        for part in self._parts(lines):
            if self._regular and self._size and self._size + len(part) > self._max_bytes:
                self._rotate()
            self._append(part)

    def finish(self) -> None:
        """Close the file, and wait until rotated files are compressed and removed."""
        self._close()
        with self._cleaning:
            return

    def _close(self) -> None:
        if self._file > _STANDARD_OUTPUT:
            os.close(self._file)
        self._file = -1

    def _parts(self, lines: Sequence[bytes]) -> Iterator[bytes]:
        """The lines in parts that each go into one file: as many as fit."""
        part: list[bytes] = []
        size, room = 0, self._max_bytes - self._size
        for line in lines:
            if part and self._regular and size + len(line) > room:
                yield b"".join(part)
                part, size, room = [], 0, self._max_bytes
            part.append(line)
            size += len(line)
        yield b"".join(part)

    def _append(self, part: bytes) -> None:
        """Write all of a part, or nothing: after an error, the file ends where it ended before."""
        rest = memoryview(part)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            if self._regular and len(rest) < len(part):
                with contextlib.suppress(OSError):  # the first error is what is reported
                    os.ftruncate(self._file, self._size)
            raise
        self._size += len(part)

    def _follow_path(self) -> None:
        """Open the file again where its path names another one, or none: a program for log rotation has renamed it."""
        now = time.monotonic()
        if self._path is None or not self._regular or now - self._checked < _CHECKED_EVERY:
            return
        self._checked = now
        mine = os.fstat(self._file)
        try:
            found = self._path.stat()
        except FileNotFoundError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != (mine.st_dev, mine.st_ino):
            self._close()
            self.open()
        else:
            self._size = mine.st_size  # another program may have truncated it

    def _rotate(self) -> None:
        assert self._path is not None
        now = dt.datetime.now(dt.UTC)
        while (rotated := self._rotated_name(now)).exists() or rotated.with_name(f"{rotated.name}.gz").exists():
            now += dt.timedelta(milliseconds=1)
        self._path.rename(rotated)
        self._close()
        self.open()

    def _rotated_name(self, now: dt.datetime) -> Path:
        assert self._path is not None
        moment = f"{now.strftime(_TIME)}.{now.microsecond // 1000:03d}"
        return self._path.with_name(f"{self._path.stem}-{moment}{self._path.suffix}")

    def _clean(self) -> None:
        """Compress and remove rotated files beside the writing."""
        if self._regular and (self._max_backups or self._max_age or self._compress):
            threading.Thread(target=self._clean_now, name="audit-log-cleaning", daemon=True).start()

    def _clean_now(self) -> None:
        with self._cleaning, contextlib.suppress(OSError):  # the next rotation tries again
            oldest = dt.datetime.now(dt.UTC) - self._max_age if self._max_age else None
            for index, (moment, path) in enumerate(self._rotated_files()):
                if (self._max_backups and index >= self._max_backups) or (oldest is not None and moment < oldest):
                    path.unlink(missing_ok=True)
                elif self._compress and path.suffix != ".gz":
                    _compress(path)

    def _rotated_files(self) -> list[tuple[dt.datetime, Path]]:
        """The rotated files, the newest first."""
        assert self._path is not None
        stem, suffix = self._path.stem, self._path.suffix
        found = []
        for path in self._path.parent.iterdir():
            name = path.name.removesuffix(".gz")
            if name.startswith(f"{stem}-") and name.endswith(suffix):
                moment = _ROTATED.match(name[len(stem) : len(name) - len(suffix)])
                if moment is not None:
                    found.append((dt.datetime.strptime(moment[1], _TIME).replace(tzinfo=dt.UTC), path))
        return sorted(found, key=lambda each: (each[0], each[1].name), reverse=True)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(errno.EBUSY, "another server writes this file", str(path)) from error
    except OSError:
        return  # the file system has no locks


def _compress(path: Path) -> None:
    """Replace a file by its compressed form."""
    target = path.with_name(f"{path.name}.gz")
    partial = target.with_name(f".{target.name}.partial")
    with path.open("rb") as source, partial.open("wb") as file:
        os.fchmod(file.fileno(), _MODE)
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as packed:
            shutil.copyfileobj(source, packed)
    partial.replace(target)
    path.unlink()
