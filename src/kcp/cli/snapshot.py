"""``kcp snapshot``: save, look at and put back copies of an embedded log."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

_ROOT: Final = click.option(
    "--root-directory",
    default=".kcp",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The server's directory.",
)
_FILE: Final = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_CHUNK: Final = 1 << 20


@click.group()
def snapshot() -> None:
    """Save, look at and put back copies of a server's log.

    A copy holds the objects of all logical clusters. It does not hold certificates and tokens, which are files of the data
    directory. A log in etcd is saved with etcd's own tools.
    """


@snapshot.command()
@_ROOT
@_FILE
def save(root_directory: Path, file: Path) -> None:
    """Write a consistent copy to FILE, and its checksum beside it. The server goes on as usual."""
    from kcp.store.backups import copy_log
    from kcp.store.contract import StoreUnavailableError

    log = root_directory / "data" / "kcp.db"
    if not log.exists():
        _end(f"{log} does not exist: no server has run in {root_directory}")
    try:
        asyncio.run(copy_log(log, file))
        _checksum_file(file).write_text(f"{_digest(file)}  {file.name}\n")
    except (FileExistsError, StoreUnavailableError, OSError) as error:
        _end(str(error))
    _describe(file)


@snapshot.command()
@_FILE
def info(file: Path) -> None:
    """Check the copy in FILE and say what it holds."""
    _verify(file)
    _describe(file)


@snapshot.command()
@_ROOT
@_FILE
def restore(root_directory: Path, file: Path) -> None:
    """Put the copy in FILE in the place of a stopped server's log, which is kept beside it with `.replaced` at its end.

    Revisions go on behind every one that a client can have seen; clients that watch are told to list again.
    """
    from kcp.store.file_lock import FileLock, StoreLockedError

    _verify(file)
    data = root_directory / "data"
    log = data / "kcp.db"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(log.with_name(log.name + ".lock"))
    except StoreLockedError as error:
        _end(f"{error}; stop the server first")
    except OSError as error:
        _end(f"cannot write to {data}: {error.strerror}")
    try:
        _put_in_place(file, log)
    except OSError as error:
        _end(f"cannot put {file} in place: {error}")
    finally:
        lock.release()
    click.echo(f"restored {log}; start the server")


def _put_in_place(file: Path, log: Path) -> None:
    incoming = log.with_name(log.name + ".incoming")
    shutil.copyfile(file, incoming)
    incoming.chmod(0o600)
    for suffix in ("", "-wal", "-shm"):
        there = log.with_name(log.name + suffix)
        if there.exists():
            there.replace(log.with_name(f"{log.name}.replaced{suffix}"))
    incoming.replace(log)


def _verify(file: Path) -> None:
    if not file.exists():
        _end(f"{file} does not exist")
    beside = _checksum_file(file)
    if beside.exists() and beside.read_text().split()[:1] != [_digest(file)]:
        _end(f"{file} is not what was saved: its checksum differs from the one in {beside}")


def _describe(file: Path) -> None:
    import apsw

    from kcp.store import tables

    try:
        connection = apsw.Connection(f"file:{file}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            damage = connection.execute("PRAGMA quick_check").fetchone()
            if damage is None or damage[0] != "ok":
                _end(f"{file} is damaged: {damage[0] if damage else 'unreadable'}")
            newest, _ = tables.read_facts(connection)
            counted = connection.execute("SELECT count(*), count(DISTINCT cluster) FROM current").fetchone()
        finally:
            connection.close()
    except apsw.Error as error:
        _end(f"{file} is no copy of a log: {error}")
    assert counted is not None
    click.echo(f"file: {file}\nsha256: {_digest(file)}\nbytes: {file.stat().st_size}")
    click.echo(f"revision: {newest}\nobjects: {counted[0]}\nlogical clusters: {counted[1]}")


def _checksum_file(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _end(message: str) -> NoReturn:
    click.echo(f"kcp: {message}", err=True)
    sys.exit(1)
