"""Transfers: moving a log's state between backends of any kind, through an export file.

Imported keys get new revisions, above every revision that a client of either log can have seen, and no older history is
kept: a client that holds a revision of either log lists again. This module is what all backends share; each backend has a
``transfer`` module of its own that reads and writes its log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from kcp.logical_clusters import WILDCARD, LogicalClusterName
from kcp.store.contract import Key, LogError, key_text
from kcp.store.exports import Entry, Reading, Summary, verify

_PAGE: Final = 500

Item = TypeVar("Item")


class TransferError(LogError):
    """An export, import or restore is refused. Nothing was written unless the message says so."""


class KeyExistsError(TransferError):
    """The target already has a key that the import would write."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key_text(key)} exists in the target already")
        self.key = key


class Selection(NamedTuple):
    """Which entries of a file an import takes, and where they go.

    ``source`` is the logical cluster that is read from the file and ``target`` the one that is written; WILDCARD in both
    stands for everything. With ``replace``, keys of the target that the file lacks are deleted; without it, the import
    fails if the target has any of the keys. Records of the log itself (such as its identity) are written only where the
    target has none, in either case. ``rewrite`` changes the entries of one logical cluster, for the keys that it is given.
    """

    summary: Summary
    source: LogicalClusterName
    target: LogicalClusterName
    replace: bool
    rewrite: Callable[[Iterator[tuple[Entry, Key]]], Iterator[Entry]] | None = None


class Imported(NamedTuple):
    """Counts of an import's keys, and the log's revision after it. ``expired`` counts entries that had expired."""

    written: int
    unchanged: int
    deleted: int
    expired: int
    revision: int


class Restored(NamedTuple):
    """What a restore did, and a warning if there is one, as sentences for the operator."""

    done: str
    warning: str = ""


class SnapshotInfo(NamedTuple):
    """What a snapshot contains: its revision, and the counts of its objects and logical clusters."""

    revision: int
    objects: int
    logical_clusters: int


def select(file: Path, logical_cluster: LogicalClusterName = WILDCARD, *, replace: bool) -> Selection:
    """Verify a file and decide which entries an import takes.

    From a file with all logical clusters, the import takes all of them or the named one; from a file with a single logical
    cluster it takes that one, under its own name or the given one.
    Raises DamagedExportError, TransferError, OSError.
    """
    summary = verify(file)
    only = summary.header.logical_cluster
    if only != WILDCARD:
        return Selection(summary, only, only if logical_cluster == WILDCARD else logical_cluster, replace)
    if logical_cluster != WILDCARD and logical_cluster not in summary.logical_clusters:
        raise TransferError(f"{file} holds nothing of logical cluster {logical_cluster}")
    return Selection(summary, logical_cluster, logical_cluster, replace)


def selected(file: Path, selection: Selection) -> Iterator[Entry]:
    """Yield the entries that an import takes, under their keys in the target.

    Raises DamagedExportError, also when the file has changed since `select`, and OSError.
    """
    reading = Reading(file, selection.summary)
    if selection.source == WILDCARD:
        yield from reading
        return
    entries = (
        (entry, entry.key._replace(cluster=selection.target))
        for entry in reading
        if entry.key.cluster == selection.source
    )
    if selection.rewrite is not None:
        yield from selection.rewrite(entries)
    else:
        yield from (entry._replace(key=key) for entry, key in entries)


def pages(items: Iterable[Item], size: int = _PAGE) -> Iterator[list[Item]]:
    """Split items into lists of at most ``size``."""
    left = iter(items)
    while page := list(islice(left, size)):
        yield page


def refuse_empty(entries: int, logical_cluster: LogicalClusterName) -> None:
    """Raise TransferError for a named logical cluster without entries: the name is more likely mistyped than meant."""
    if logical_cluster != WILDCARD and not entries:
        raise TransferError(f"logical cluster {logical_cluster} holds nothing")
