"""Pulled definitions print what the cluster prints: the recorded tables of a cluster, cell by cell."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kcp.api import tables
from kcp.api.kinds import GroupKind
from kcp.multicluster.crd_puller import definition_of, structural_schema
from kcp.multicluster.crd_puller.columns import printer_columns
from kcp.registry.types.resource_types import ResourceType
from kcp.schema.printer_columns import ComputedColumns, computed_columns
from tests.multicluster.recordings import recording
from tests.multicluster.tables import Object, RecordedTable, dated, manifests, recorded_columns, recorded_tables
from tests.support.running_server import RunningServer

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
OWN_METADATA = {"name", "labels", "annotations", "finalizers", "ownerReferences"}
ALLOCATED = {("Service", "Cluster-IP"), ("Service", "Port(s)"), ("Job", "Selector"), ("FlowSchema", "MissingPL")}
"""The columns of fields that controllers or allocators of a cluster set."""
AGE = re.compile(r"[0-9]+s\Z")


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
        cells = columns.cells(without_nulls(row["object"]), table.now * 1_000_000_000)
        name = row["object"]["metadata"]["name"]
        assert [*([name] if len(cells) < len(row["cells"]) else []), *cells] == row["cells"], name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with the definitions of the recorded kinds in two logical clusters."""
    with RunningServer(tmp_path_factory.mktemp("kcp")) as running:
        for definition in definitions().values():
            for cluster in ("stored", "written"):
                path = f"/clusters/{cluster}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                answer = running.ask("POST", path, definition)
                assert answer.status == 201, answer.json["message"]
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


def check(server: RunningServer, table: RecordedTable, path: str, allocated: set[tuple[str, str]]) -> None:
    """Compare the table of a collection with the recorded one."""
    answer = server.ask("GET", path, Accept=TABLE).json
    columns = [column["name"] for column in table.columns]
    shown = [
        {key: value for key, value in each.items() if key != "description"} for each in answer["columnDefinitions"]
    ]
    assert shown == table.columns
    rows = {row["object"]["metadata"]["name"]: row["cells"] for row in answer["rows"]}
    for row in table.rows:
        cells = rows.pop(row["object"]["metadata"]["name"])
        for column, cell, expected in zip(columns, cells, row["cells"], strict=True):
            if column == "Age":
                assert AGE.match(cell)
            elif column == "Created At":
                assert cell.endswith("Z")
            elif (table.kind, column) not in allocated:
                assert (column, cell) == (column, expected), row["object"]["metadata"]["name"]
    assert rows == {}


@pytest.mark.parametrize("table", recorded_tables(), ids=name_of)
def test_objects_as_the_cluster_stores_them_have_its_table(server: RunningServer, table: RecordedTable) -> None:
    if name_of(table) not in definitions():
        pytest.skip(f"the recorded OpenAPI documents have no {name_of(table)}")
    path = collection(table, "stored")
    for row in table.rows:
        obj = dated(row["object"], time.time() - table.now)
        metadata = obj["metadata"]
        obj["metadata"] = {key: value for key, value in metadata.items() if key in OWN_METADATA}
        write(server, path, obj, leaving="deletionTimestamp" in metadata)
    check(server, table, path, set())


@pytest.mark.parametrize("table", recorded_tables(), ids=name_of)
def test_objects_as_a_user_writes_them_have_the_table_of_the_cluster(
    server: RunningServer, table: RecordedTable
) -> None:
    if name_of(table) not in definitions():
        pytest.skip(f"the recorded OpenAPI documents have no {name_of(table)}")
    path = collection(table, "written")
    for manifest in manifests(time.time()):
        if (manifest["apiVersion"], manifest["kind"]) == (table.api_version, table.kind):
            write(server, path, manifest, leaving=manifest.pop("x-delete", False))
    check(server, table, path, ALLOCATED)
