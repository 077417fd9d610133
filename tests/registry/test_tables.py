"""Collections as tables: a cell without a representable value is empty."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kcp.api import documents
from kcp.registry.representations.table_rows import TableRows
from kcp.registry.requests import ListOptions, Target
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
