"""``kcp snapshot``: save, inspect and restore snapshots of a log, with a checksum beside each."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags
from kcp.cli.store_options import backend_of, end, errors_end, storage_flags

_FILE: Final = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group()
def snapshot() -> None:
    """Save, inspect and restore snapshots.

    A snapshot holds the objects of all logical clusters. The snapshot of a log in a file does not hold certificates and tokens,
    which are files of the data directory. The snapshot of a log in etcd does, since servers share them there.
    """


@snapshot.command(cls=flags.GroupedCommand)
@storage_flags
@_FILE
def save(file: Path, **choices: Any) -> None:
    """Write a consistent snapshot to FILE, and its checksum beside it. Servers may keep running."""
    with errors_end():
        backend_of(choices).save(file)
        _checksum_file(file).write_text(f"{_digest(file)}  {file.name}\n")
        _describe(file)


@snapshot.command()
@_FILE
def info(file: Path) -> None:
    """Check the snapshot in FILE and print what it contains."""
    with errors_end():
        _verify(file)
        _describe(file)


@snapshot.command(cls=flags.GroupedCommand)
@flags.group("Restoring")("--replace", is_flag=True, help="Delete the log that is in etcd already.")
@storage_flags
@_FILE
def restore(file: Path, replace: bool, **choices: Any) -> None:
    """Replace a log that no server uses with the snapshot in FILE.

    A log in a file is kept beside the new one, with `.replaced`, or `.replaced.2` and so on, after its name. Revisions continue
    above those that clients can have seen; clients that watch are told to list again.
    """
    with errors_end():
        backend = backend_of(choices)
        _verify(file)
        restored = backend.restore(file, replace=replace)
        if restored.warning:
            click.echo(f"kcp: {restored.warning}", err=True)
        click.echo(restored.done)


def _verify(file: Path) -> None:
    if not file.exists():
        end(f"{file} does not exist")
    beside = _checksum_file(file)
    if beside.exists() and beside.read_text().split()[:1] != [_digest(file)]:
        end(f"{file} is not what was saved: its checksum differs from the one in {beside}")


def _describe(file: Path) -> None:
    from kcp.store.backends import describe_snapshot

    found = describe_snapshot(file)
    click.echo(f"file: {file}\nsha256: {_digest(file)}\nbytes: {file.stat().st_size}")
    click.echo(f"revision: {found.revision}\nobjects: {found.objects}\nlogical clusters: {found.logical_clusters}")


def _checksum_file(file: Path) -> Path:
    return file.with_name(file.name + ".sha256")


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
