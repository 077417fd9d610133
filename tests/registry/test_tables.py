"""Collections as tables: a cell without a representable value is empty."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kcp.api import documents
from kcp.api.errors import StatusError
from kcp.registry.representations.table_rows import TableRows
from kcp.registry.requests import ListOptions, Target
from kcp.schema.printer_columns import ANNOTATION
from tests.support.lists import whole_list
from tests.support.objects import definition
from tests.support.registry_client import RegistryClient


async def _table(client: RegistryClient, path: str, kind: str, bodies: list[bytes], include: str = "Metadata") -> Any:
    made = definition("bigs", "Big")
    made["spec"]["versions"][0]["additionalPrinterColumns"] = [{"name": "Shown", "type": kind, "jsonPath": path}]
    await client.create(client.type("customresourcedefinitions", "apiextensions.k8s.io"), made, "")
    type_ = client.type("bigs", "example.com")
    for at, body in enumerate(bodies):
        obj = documents.decode_json(
            b'{"apiVersion":"example.com/v1","kind":"Big","metadata":{"name":"n%d"},"spec":%b}' % (at, body)
        )[0]
        await client.create(type_, obj)
    listing = await client.registry.list(client.context(), Target(type_, ""), ListOptions())
    pieces = TableRows(include_object=include).listing(listing, client.registry.type_of_cluster(type_))
    return orjson.loads(whole_list(pieces))


@pytest.mark.parametrize("include", ["None", "Metadata", "Object"])
@pytest.mark.parametrize("kind", ["integer", "number", "string"])
@pytest.mark.parametrize("number", ["1e21", "9223372036854775808", "18446744073709551616", "1e300", "-1e21"])
async def test_a_number_beyond_64_bits_does_not_break_a_table(
    client: RegistryClient, number: str, kind: str, include: str
) -> None:
    bodies = [b'{"a":1}', b'{"a":%b}' % number.encode(), b"{}"]
    rows = (await _table(client, ".spec.a", kind, bodies, include))["rows"]
    assert [row["cells"][0] for row in rows] == ["n0", "n1", "n2"]
    assert str(rows[0]["cells"][1]) == "1"
    assert rows[2]["cells"][1] is None


async def test_integers_too_large_for_a_cell_are_the_largest_there_is(client: RegistryClient) -> None:
    rows = (await _table(client, ".spec.a", "integer", [b'{"a":1e300}', b'{"a":-1e300}']))["rows"]
    assert [row["cells"][1] for row in rows] == [(1 << 63) - 1, -(1 << 63)]


def _with_columns(*columns: dict[str, Any]) -> dict[str, Any]:
    made = definition("widgets", "Widget")
    made["spec"]["versions"][0]["additionalPrinterColumns"] = [{"name": "A", "type": "integer", "jsonPath": ".spec.a"}]
    if columns:
        content = {
            "apiVersion": "kcp.io/v1",
            "kind": "PrinterColumns",
            "versions": [{"name": "v1", "columns": columns}],
        }
        made["metadata"]["annotations"] = {ANNOTATION: orjson.dumps(content).decode()}
    return made


async def _shown(client: RegistryClient) -> tuple[list[str], list[list[Any]]]:
    type_ = client.type("widgets", "example.com")
    listing = await client.registry.list(client.context(), Target(type_, ""), ListOptions())
    table = orjson.loads(whole_list(TableRows().listing(listing, client.registry.type_of_cluster(type_))))
    return [each["name"] for each in table["columnDefinitions"]], [row["cells"] for row in table["rows"]]


async def test_changed_computed_columns_are_in_the_next_table(client: RegistryClient) -> None:
    double = {"name": "Double", "type": "integer", "expression": "self.spec.a * 2"}
    made = await client.define(_with_columns(double))
    for name, a in (("one", 1), ("text", "x")):
        obj = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"a": a}}
        await client.create(client.widgets, obj)
    assert await _shown(client) == (["Name", "Double", "A"], [["one", 2, 1], ["text", None, None]])
    changed = _with_columns({**double, "name": "Triple", "expression": "self.spec.a * 3"})
    made["metadata"]["annotations"] = changed["metadata"]["annotations"]
    made = await client.update(client.definitions, made)
    assert await _shown(client) == (["Name", "Triple", "A"], [["one", 3, 1], ["text", None, None]])
    del made["metadata"]["annotations"]
    await client.update(client.definitions, made)
    assert await _shown(client) == (["Name", "A"], [["one", 1], ["text", None]])


async def test_a_malformed_annotation_of_columns_is_refused(client: RegistryClient) -> None:
    wrong = _with_columns({"name": "Double", "type": "integer", "expression": "self.spec.a *"})
    with pytest.raises(StatusError) as refused:
        await client.define(wrong)
    assert refused.value.code == 422
    causes = refused.value.status()["details"]["causes"]
    assert [cause["field"] for cause in causes] == [
        f"metadata.annotations[{ANNOTATION}].versions[0].columns[0].expression"
    ]


async def test_a_watch_ends_when_the_computed_columns_change(client: RegistryClient) -> None:
    made = await client.define(_with_columns({"name": "Double", "type": "integer", "expression": "self.spec.a * 2"}))
    type_ = client.widgets
    assert client.registry.catalog.still_serves(client.cluster, type_)
    made["metadata"]["labels"] = {"a": "b"}
    made = await client.update(client.definitions, made)
    assert client.registry.catalog.still_serves(client.cluster, type_)
    made["metadata"]["annotations"] = _with_columns({"name": "A"})["metadata"]["annotations"]
    await client.update(client.definitions, made)
    assert not client.registry.catalog.still_serves(client.cluster, type_)
