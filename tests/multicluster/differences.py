"""What differs between an object that kcp stores and the one that a cluster stores, by class."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Object = dict[str, Any]

ZERO = "zero values"
"""The class of what Go shows though it is empty."""
REAL = "real"
"""The class of what should be equal and is not."""
_PER_CLUSTER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "namespace")
"""The fields of metadata that no two clusters share."""
_TABLE = Path(__file__).parent / "objects" / "defaults.yaml"
_ANY = "..."
_ABSENT = object()


class Difference(NamedTuple):
    """A path (``Pod.spec.containers[].image``), its class, the values of kcp and of the cluster, and the row that allows it."""

    path: str
    class_: str
    kcp: Any
    cluster: Any
    row: tuple[str, str] | None = None


def rows() -> set[tuple[str, str]]:
    """The classes and ends of paths in the table of what a cluster adds."""
    return {(class_, end) for class_, ends in _table().items() for end in ends}


def differences(kcp: Object, cluster: Object) -> list[Difference]:
    """The differences of two objects of one kind, but for the metadata that each server sets."""
    pair = [{**each, "metadata": _without_server_metadata(each["metadata"])} for each in (kcp, cluster)]
    return list(_compare(pair[0], pair[1], kcp["kind"]))


def _without_server_metadata(metadata: Object) -> Object:
    return {name: value for name, value in metadata.items() if name not in _PER_CLUSTER}


def _compare(kcp: Any, cluster: Any, path: str) -> Iterator[Difference]:
    if isinstance(kcp, dict) and isinstance(cluster, dict):
        for name in sorted({*kcp, *cluster}):
            yield from _compare(kcp.get(name, _ABSENT), cluster.get(name, _ABSENT), f"{path}.{name}")
    elif isinstance(kcp, list) and isinstance(cluster, list) and len(kcp) == len(cluster):
        for mine, its in zip(kcp, cluster, strict=True):
            yield from _compare(mine, its, f"{path}[]")
    elif type(kcp) is not type(cluster) or kcp != cluster:
        yield _classified(path, kcp, cluster)


def _classified(path: str, kcp: Any, cluster: Any) -> Difference:
    added = kcp is _ABSENT or (
        isinstance(kcp, list) and isinstance(cluster, list) and all(item in cluster for item in kcp)
    )
    if added and cluster is not _ABSENT:
        row = _row(path, cluster)
        if row is not None:
            return Difference(path, row[0], kcp, cluster, row)
        if _is_zero(cluster):
            return Difference(path, ZERO, kcp, cluster)
    if all(each is _ABSENT or each is None or each in ([], "", 0) for each in (kcp, cluster)):
        return Difference(path, ZERO, kcp, cluster)
    return Difference(path, REAL, kcp, cluster)


def _is_zero(value: Any) -> bool:
    """Whether all parts of a value are Go's zero values."""
    if isinstance(value, dict):
        return all(map(_is_zero, value.values()))
    return not value


def _row(path: str, value: Any) -> tuple[str, str] | None:
    for class_, ends in _table().items():
        for end, values in ends.items():
            if (path == end or path.endswith(f".{end}")) and (value in values or _ANY in values):
                return class_, end
    return None


@cache
def _table() -> dict[str, dict[str, list[Any]]]:
    table: dict[str, dict[str, list[Any]]] = yaml.load(_TABLE.read_text(), Loader=yaml.CSafeLoader)
    return table
