"""``kcp snapshot``: save, look at and put back copies of a log, in a file or in etcd."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags
from kcp.cli.places import (
    end,
    etcd_options,
    existing_log_file,
    new_log_file,
    place_flags,
    place_of,
    refusals,
)

_FILE: Final = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
_CHUNK: Final = 1 << 20
_FILES: Final = ("", "-wal", "-shm")
"""The files of a log, by what stands behind its name."""


@click.group()
def snapshot() -> None:
    """Save, look at and put back copies of a log.

    A copy holds the objects of all logical clusters. That of a log in a file does not hold certificates and tokens, which are
    files of the data directory; that of a log in etcd does, as they are shared there.
    """


@snapshot.command(cls=flags.GroupedCommand)
@place_flags
@_FILE
def save(file: Path, **choices: Any) -> None:
    """Write a consistent copy to FILE, and its checksum beside it. Servers go on as usual."""
    with refusals():
        configuration = place_of(choices)
        if configuration.etcd_servers:
            from kcp.store.etcd.moving import export_log

            asyncio.run(export_log(etcd_options(configuration), file))
        else:
            from kcp.store.backups import copy_log

            asyncio.run(copy_log(existing_log_file(configuration), file))
        _checksum_file(file).write_text(f"{_digest(file)}  {file.name}\n")
        _describe(file)


@snapshot.command()
@_FILE
def info(file: Path) -> None:
    """Check the copy in FILE and say what it holds."""
    with refusals():
        _verify(file)
        _describe(file)


@snapshot.command(cls=flags.GroupedCommand)
@flags.group("Restoring")("--replace", is_flag=True, help="Delete the log that is in etcd already.")
@place_flags
@_FILE
def restore(file: Path, replace: bool, **choices: Any) -> None:
    """Put the copy in FILE in the place of a log that no server uses.

    A log in a file is kept beside it with `.replaced` at its end, or `.replaced.2` and so on. Revisions go on behind every
    one that a client can have seen; clients that watch are told to list again.
    """
    with refusals():
        configuration = place_of(choices)
        _verify(file)
        if configuration.etcd_servers:
            from kcp.store.etcd.moving import restore_log
            from kcp.store.moving import select

            if not _is_export(file):
                end(f"{file} was saved from a log in a file: to bring it into etcd, export that log and import it")
            selection = select(file, None, replace=replace)
            done = asyncio.run(restore_log(etcd_options(configuration), file, selection))
            click.echo(f"restored {done.written} objects at revision {done.revision}; start the servers")
        else:
            if _is_export(file):
                end(f"{file} was saved from etcd: use kcp store import to bring it into a file")
            _look_into(file)
            log = new_log_file(configuration)
            kept = _put_in_place(file, log)
            click.echo(f"restored {log}{f', what was there is {kept}' if kept else ''}; start the server")


def _put_in_place(file: Path, log: Path) -> Path | None:
    """Where the log is now that was there."""
    from kcp.store.backups import mark_as_copy
    from kcp.store.file_lock import FileLock

    lock = FileLock(log.with_name(log.name + ".lock"))
    try:
        incoming = log.with_name(log.name + ".incoming")
        for suffix in _FILES:
            _beside(incoming, suffix).unlink(missing_ok=True)
        shutil.copyfile(file, incoming)
        incoming.chmod(0o600)
        mark_as_copy(incoming, seen=_seen(log))
        kept = _unused_name(log)
        present = [suffix for suffix in _FILES if _beside(log, suffix).exists()]
        for suffix in present:
            _beside(log, suffix).replace(_beside(kept, suffix))
        incoming.replace(log)
    finally:
        lock.release()
    return kept if present else None


def _seen(log: Path) -> int:
    """The newest revision that clients can have seen of the log that is there: the same copy may be put back twice."""
    from kcp.store.backups import newest_revision
    from kcp.store.contract import StoreUnavailableError

    if not log.exists():
        return 0
    try:
        return newest_revision(log)
    except StoreUnavailableError as error:
        click.echo(f"kcp: {error}; revisions go on behind those of the copy", err=True)
        return 0


def _unused_name(log: Path) -> Path:
    """A name that takes nothing from a log that was kept earlier: neither its file nor what lies beside it."""
    for number in itertools.count(1):
        name = log.with_name(f"{log.name}.replaced" if number == 1 else f"{log.name}.replaced.{number}")
        if not any(_beside(name, suffix).exists() for suffix in _FILES):
            return name
    raise AssertionError("unreachable")


def _beside(log: Path, suffix: str) -> Path:
    return log.with_name(log.name + suffix)


def _verify(file: Path) -> None:
    if not file.exists():
        end(f"{file} does not exist")
    beside = _checksum_file(file)
    if beside.exists() and beside.read_text().split()[:1] != [_digest(file)]:
        end(f"{file} is not what was saved: its checksum differs from the one in {beside}")


def _is_export(file: Path) -> bool:
    from kcp.store.exports import is_export

    return is_export(file)


def _describe(file: Path) -> None:
    if _is_export(file):
        from kcp.store.exports import verify

        summary = verify(file)
        newest, objects, clusters = summary.header.revision, summary.entries, len(summary.logical_clusters)
    else:
        newest, objects, clusters = _look_into(file)
    click.echo(f"file: {file}\nsha256: {_digest(file)}\nbytes: {file.stat().st_size}")
    click.echo(f"revision: {newest}\nobjects: {objects}\nlogical clusters: {clusters}")


def _look_into(file: Path) -> tuple[int, int, int]:
    import apsw

    from kcp.store import tables

    try:
        connection = apsw.Connection(f"file:{file}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
        try:
            damage = connection.execute("PRAGMA quick_check").fetchone()
            if damage is None or damage[0] != "ok":
                end(f"{file} is damaged: {damage[0] if damage else 'unreadable'}")
            newest, _ = tables.read_facts(connection)
            counted: Any = connection.execute(
                "SELECT count(*), count(DISTINCT nullif(cluster, '')) FROM current"
            ).fetchone()
        finally:
            connection.close()
    except apsw.Error as error:
        end(f"{file} is no copy of a log: {error}")
    return newest, counted[0], counted[1]


def _checksum_file(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()
