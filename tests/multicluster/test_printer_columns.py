"""Pulled definitions print what the cluster prints: the recorded tables of a cluster, cell by cell."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.api import tables
from kcp.api.kinds import GroupKind
from kcp.multicluster.crd_puller import definition_of, structural_schema
from kcp.multicluster.crd_puller.columns import printer_columns
from kcp.registry.types.resource_types import ResourceType
from kcp.schema.printer_columns import ComputedColumns, computed_columns
from tests.multicluster.recordings import recording
from tests.multicluster.tables import Object, RecordedTable, dated, manifests, recorded_columns, recorded_tables
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.running_server import RunningServer

Columns = set[tuple[str, str]]
"""Kinds with the names of columns."""

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
OWN_METADATA = {"name", "labels", "annotations", "finalizers", "ownerReferences"}
ALLOCATED = {("Service", "Cluster-IP"), ("Service", "Port(s)"), ("Job", "Selector"), ("FlowSchema", "MissingPL")}
"""The columns of fields that controllers or allocators of a cluster set."""
WORKLOADS = {
    *("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicationController"),
    *("Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget", "PersistentVolumeClaim", "NetworkPolicy"),
    *("Endpoints", "EndpointSlice", "Node", "PersistentVolume", "StorageClass", "IngressClass"),
}
AGE = re.compile(r"[0-9]+(s|m([0-9]+s)?)\Z")
HIDDEN = object()
"""The cell of a column that is not shown."""


def name_of(table: RecordedTable) -> str:
    return f"{table.plural}.{table.api_version.rpartition('/')[0] or 'core'}"


def of_kind(table: RecordedTable) -> ComputedColumns:
    group, _, version = table.api_version.rpartition("/")
    printed, annotation = printer_columns(GroupKind(group, table.kind), version)
    found = computed_columns(annotation, version, tables.columns_of(printed))
    assert found is not None
    return found


def without_nulls(value: Any) -> Any:
    """An object as kcp stores it."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def definitions() -> dict[str, Object]:
    """The definitions of the recorded kinds, by name."""
    found = recording("1.36")
    names = found.schema_names()
    wanted = {(table.api_version, table.plural): table for table in recorded_tables()}
    made = {}
    for resource in found.resources():
        table = wanted.get((resource.api_version, resource.plural))
        if table is not None:
            schema = structural_schema(found.schemas, names[resource.group, resource.version, resource.kind])
            made[name_of(table)] = definition_of(resource, schema)
    return made


@pytest.mark.parametrize("table", recorded_columns(), ids=lambda table: f"{table.plural}.{table.api_version}")
def test_every_resource_of_a_cluster_has_its_columns(table: RecordedTable) -> None:
    group, _, version = table.api_version.rpartition("/")
    printed, annotation = printer_columns(GroupKind(group, table.kind), version)
    type_ = ResourceType(
        group,
        version,
        table.plural,
        "",
        table.kind,
        "",
        table.namespaced,
        raw_columns=printed,
        columns_annotation=annotation,
    )
    shown = type_.column_definitions
    assert all(column["description"] for column in shown)
    assert [{key: value for key, value in each.items() if key != "description"} for each in shown] == table.columns


@pytest.mark.parametrize("table", recorded_tables(), ids=name_of)
def test_cells_at_the_time_of_the_recording_are_those_of_the_cluster(table: RecordedTable) -> None:
    columns = of_kind(table)
    assert table.rows
    for row in table.rows:
        assert cells_after(table, columns, row, 0) == row["cells"], row["object"]["metadata"]["name"]


def cells_after(table: RecordedTable, columns: ComputedColumns, row: Object, seconds: float) -> list[Any]:
    """The cells of a row so many seconds after the recording."""
    cells = columns.cells(without_nulls(row["object"]), int((table.now + seconds) * 1_000_000_000))
    return [*([row["object"]["metadata"]["name"]] if len(cells) < len(row["cells"]) else []), *cells]


@pytest.fixture(scope="module")
def since() -> float:
    """The time at which the objects of the server are as old as in the recording."""
    return time.time()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, since: float) -> Iterator[RunningServer]:
    """A server with the recorded kinds, and their objects in two logical clusters: as a cluster stores, as a user writes them."""
    with RunningServer(tmp_path_factory.mktemp("kcp")) as running:
        for definition in definitions().values():
            for cluster in ("stored", "written"):
                path = f"/clusters/{cluster}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                answer = running.ask("POST", path, definition)
                assert answer.status == 201, answer.json["message"]
        for table in recorded_tables():
            for row in table.rows:
                obj = dated(row["object"], since - table.now)
                metadata = obj["metadata"]
                obj["metadata"] = {key: value for key, value in metadata.items() if key in OWN_METADATA}
                write(running, collection(table, "stored"), obj, leaving="deletionTimestamp" in metadata)
        paths = {(table.api_version, table.kind): collection(table, "written") for table in recorded_tables()}
        for manifest in manifests(since):
            path = paths[manifest["apiVersion"], manifest["kind"]]
            write(running, path, manifest, leaving=manifest.pop("x-delete", False))
        yield running


def collection(table: RecordedTable, cluster: str) -> str:
    root = "apis" if "/" in table.api_version else "api"
    place = "namespaces/default/" if table.namespaced else ""
    return f"/clusters/{cluster}/{root}/{table.api_version}/{place}{table.plural}"


def write(server: RunningServer, path: str, obj: Object, *, leaving: bool) -> None:
    """Create an object with its status, and delete it where it waits for a finalizer."""
    status = obj.pop("status", None)
    created = server.ask("POST", path, obj)
    assert created.status == 201, created.json["message"]
    name = obj["metadata"]["name"]
    if status:
        answer = server.ask("PUT", f"{path}/{name}/status", {**created.json, "status": status})
        assert answer.status == 200, answer.json["message"]
    if leaving:
        assert server.ask("DELETE", f"{path}/{name}").status == 200


class Expected:
    """The cells that the cluster printed of the objects, as the time that has passed since then leaves them."""

    def __init__(self, table: RecordedTable, since: float) -> None:
        self.table = table
        self._columns = of_kind(table)
        self._since = since
        self._asked = time.time()

    def check(
        self, row: Object, cells: list[Any], allocated: Columns, shown: Callable[[Any], Any] = lambda cell: cell
    ) -> None:
        """Compare the cells of an object with those it has had since then, but for its own age and ``allocated`` columns.

        ``cells`` has `HIDDEN` for columns that are not shown.
        """
        moments = (self._asked - self._since, time.time() - self._since)
        wanted = [cells_after(self.table, self._columns, row, seconds) for seconds in moments]
        for column, cell, *either in zip((each["name"] for each in self.table.columns), cells, *wanted, strict=True):
            if cell is HIDDEN:
                continue
            if column == "Age":
                assert AGE.match(cell)
            elif column == "Created At":
                assert cell.endswith("Z")
            elif (self.table.kind, column) not in allocated:
                assert cell in [shown(each) for each in either], (row["object"]["metadata"]["name"], column)


@pytest.mark.parametrize(("cluster", "allocated"), [("stored", set()), ("written", ALLOCATED)])
@pytest.mark.parametrize("table", recorded_tables(), ids=name_of)
def test_a_collection_has_the_table_of_the_cluster(
    server: RunningServer, since: float, table: RecordedTable, cluster: str, allocated: Columns
) -> None:
    expected = Expected(table, since)
    answer = server.ask("GET", collection(table, cluster), Accept=TABLE).json
    shown = [
        {key: value for key, value in each.items() if key != "description"} for each in answer["columnDefinitions"]
    ]
    assert shown == table.columns
    rows = {row["object"]["metadata"]["name"]: row["cells"] for row in answer["rows"]}
    assert len(rows) == len(table.rows)
    for row in table.rows:
        expected.check(row, rows[row["object"]["metadata"]["name"]], allocated)


@pytest.mark.parametrize("table", recorded_tables()[:3], ids=name_of)
def test_an_object_and_its_events_have_the_row_of_the_list(
    server: RunningServer, since: float, table: RecordedTable
) -> None:
    expected = Expected(table, since)
    path = collection(table, "stored")
    row = table.rows[0]
    name = row["object"]["metadata"]["name"]
    single = server.ask("GET", f"{path}/{name}", Accept=TABLE).json
    assert [column["name"] for column in single["columnDefinitions"]] == [column["name"] for column in table.columns]
    expected.check(row, single["rows"][0]["cells"], set())
    with server.watch(f"{path}?watch=true&fieldSelector=metadata.name%3D{name}", Accept=TABLE) as events:
        event = next(events)["object"]
        expected.check(row, event["rows"][0]["cells"], set())
        patch = {"metadata": {"labels": {"touched": "yes"}}}
        answer = server.ask("PATCH", f"{path}/{name}", patch, Content_Type="application/merge-patch+json")
        assert answer.status == 200
        event = next(events)["object"]
        assert event["columnDefinitions"] is None
        expected.check(row, event["rows"][0]["cells"], set())


@pytest.fixture
def kubectl(server: RunningServer, tmp_path: Path) -> Kubectl:
    """A kubectl in the logical cluster of the stored objects."""
    authority = (server.process.configuration.root_directory / "data" / "ca.crt").read_bytes()
    cluster = {
        "server": f"https://127.0.0.1:{server.port}/clusters/stored",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    config = {
        "clusters": [{"name": "kcp", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": server.token}}],
        "contexts": [{"name": "kcp", "context": {"cluster": "kcp", "user": "admin"}}],
        "current-context": "kcp",
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return Kubectl(CURRENT, path, tmp_path)


def printed(output: str) -> list[list[str]]:
    """The cells of kubectl's output, cut where the titles begin."""
    title, *lines = output.splitlines()
    starts = [match.start() for match in re.finditer(r"(?:(?<=  )|^)\S", title)]
    return [
        [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        for line in (title, *lines)
    ]


def printable(cell: Any) -> str:
    """A cell as kubectl prints it."""
    if cell is None:
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


@pytest.mark.parametrize("wide", [False, True], ids=["plain", "wide"])
@pytest.mark.parametrize("table", [each for each in recorded_tables() if each.kind in WORKLOADS], ids=name_of)
def test_kubectl_prints_the_titles_and_cells_of_the_cluster(
    kubectl: Kubectl, since: float, table: RecordedTable, wide: bool
) -> None:
    expected = Expected(table, since)
    title, *lines = printed(kubectl("get", name_of(table).removesuffix(".core"), *(["-o", "wide"] if wide else [])))
    chosen = [index for index, column in enumerate(table.columns) if wide or not column["priority"]]
    assert title == [table.columns[index]["name"].upper() for index in chosen]
    rows = {row["object"]["metadata"]["name"]: row for row in table.rows}
    assert {line[0] for line in lines} == {printable(row["cells"][0]) for row in rows.values()}
    for line in lines:
        cells: list[Any] = [HIDDEN] * len(table.columns)
        for index, cell in zip(chosen, line, strict=True):
            cells[index] = cell
        expected.check(rows[line[0].removesuffix(" (default)")], cells, set(), printable)
