"""Tables of Kubernetes' own kinds: what kube-apiserver answers for `objects.yaml`.

``kubernetes-1.36.json.gz`` is made by `record.py` from a cluster of that version that runs no controllers.
"""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parent
RECORDING = FOLDER / "kubernetes-1.36.json.gz"
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z\Z")
_AGO = re.compile(r"-([0-9]+)s\Z")

Object = dict[str, Any]


class RecordedTable(NamedTuple):
    """The table of one kind: its resource, the time of the answer in seconds since 1970, its columns and rows with objects."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    now: int
    columns: list[Object]
    rows: list[Object]


def manifests(now: float) -> list[Object]:
    """The objects of `objects.yaml`, with their times relative to ``now``."""
    documents = yaml.load_all((FOLDER / "objects.yaml").read_bytes(), Loader=yaml.CSafeLoader)
    return [_dated(document, now) for document in documents]


def _dated(value: Any, now: float) -> Any:
    if isinstance(value, dict):
        return {key: _dated(each, now) for key, each in value.items()}
    if isinstance(value, list):
        return [_dated(each, now) for each in value]
    if isinstance(value, str) and (ago := _AGO.match(value)):
        return datetime.fromtimestamp(int(now) - int(ago[1]), UTC).strftime(_FORMAT)
    return value


def dated(value: Any, later: float) -> Any:
    """A copy of an object whose times are so many seconds later."""
    if isinstance(value, dict):
        return {key: dated(each, later) for key, each in value.items()}
    if isinstance(value, list):
        return [dated(each, later) for each in value]
    if isinstance(value, str) and _TIME.match(value):
        return (datetime.fromisoformat(value) + timedelta(seconds=int(later))).strftime(_FORMAT)
    return value


@cache
def _recording() -> dict[str, list[RecordedTable]]:
    content = json.loads(gzip.decompress(RECORDING.read_bytes()))
    return {part: [RecordedTable(**each) for each in tables] for part, tables in content.items()}


def recorded_tables() -> list[RecordedTable]:
    """The tables of the objects."""
    return _recording()["tables"]


def recorded_columns() -> list[RecordedTable]:
    """The tables of all resources of the cluster in all versions, without their rows."""
    return _recording()["empty"]
