"""Requests whose work grows with the stored objects, not with the request. Those of one ``place`` share its preparation."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from tests.stalls.requests import MAPS, YAML, Attack, Call, config_map, create, definition, of
from tests.support.objects import DEFINITIONS

_MEGABYTES: Final = 64 * 1024 * 1024
_OBJECTS: Final = 5_000
_DEFINITIONS: Final = 300
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def _small(number: int) -> dict[str, Any]:
    return config_map(f"m{number:05}", metadata={"labels": {"n": str(number)}}, data={"a": "b"})


def _large(number: int) -> dict[str, Any]:
    return config_map(f"m{number:05}", data={f"k{key}": "x" * 900 for key in range(500)})


def _wide(number: int, words: str = "") -> dict[str, Any]:
    properties = {f"field{each}": of("string", description=f"{words}{'x' * 60}") for each in range(100)}
    return definition(of("object", properties=properties), plural=f"things{number:03}s")


SMALL_ONES: Final = [create(partial(_small, number)) for number in range(_OBJECTS)]
_LARGE_ONES: Final = [create(partial(_large, number)) for number in range(60)]
MANY_TYPES: Final = [create(partial(_wide, number), DEFINITIONS) for number in range(_DEFINITIONS)]

MANY_OBJECTS: Final = [
    Attack(
        "a selector that matches none of many", Call("GET", f"{MAPS}?labelSelector=a%3Db"), SMALL_ONES, place="many"
    ),
    Attack(
        "a selector that matches none of many, with a limit",
        Call("GET", f"{MAPS}?labelSelector=a%3Db&limit=500"),
        SMALL_ONES,
        place="many",
    ),
    Attack(
        "a selector of many values over many",
        Call("GET", f"{MAPS}?labelSelector=n+in+(" + "%2C".join(str(each) for each in range(500)) + ")"),
        SMALL_ONES,
        place="many",
    ),
    Attack("a large limit over many", Call("GET", f"{MAPS}?limit=9223372036854775807"), SMALL_ONES, place="many"),
    Attack("a table of many", Call("GET", MAPS, headers={"Accept": TABLE}), SMALL_ONES, place="many"),
    Attack("many, pretty", Call("GET", f"{MAPS}?pretty=true"), SMALL_ONES, place="many"),
    Attack("many as YAML", Call("GET", MAPS, headers={"Accept": YAML}), SMALL_ONES, place="many"),
    Attack("a large list", Call("GET", MAPS), _LARGE_ONES, largest_answer=_MEGABYTES, place="large"),
    Attack(
        "a large list, pretty", Call("GET", f"{MAPS}?pretty=1"), _LARGE_ONES, largest_answer=_MEGABYTES, place="large"
    ),
    Attack(
        "a large list as YAML",
        Call("GET", MAPS, headers={"Accept": YAML}),
        _LARGE_ONES,
        largest_answer=_MEGABYTES,
        place="large",
    ),
    Attack(
        "a large list of rows",
        Call("GET", MAPS, headers={"Accept": TABLE}),
        _LARGE_ONES,
        largest_answer=_MEGABYTES,
        place="large",
    ),
    Attack("the types of many definitions", Call("GET", "/apis/example.com/v1"), MANY_TYPES, place="types"),
    Attack(
        "a definition beside many",
        Call("POST", DEFINITIONS, lambda: _wide(_DEFINITIONS)),
        MANY_TYPES,
        place="types",
    ),
    Attack(
        "the types after a change of one",
        Call("GET", "/apis/example.com/v1"),
        MANY_TYPES,
        place="types",
    ),
    Attack("the OpenAPI index of many types", Call("GET", "/openapi/v3"), MANY_TYPES, place="types"),
    Attack(
        "the OpenAPI document of many types", Call("GET", "/openapi/v3/apis/example.com/v1"), MANY_TYPES, place="types"
    ),
    Attack("Swagger of many types", Call("GET", "/openapi/v2"), MANY_TYPES, largest_answer=_MEGABYTES, place="types"),
    Attack(
        "Swagger of many types as protobuf",
        Call("GET", "/openapi/v2", headers={"Accept": _PROTOBUF}),
        MANY_TYPES,
        largest_answer=_MEGABYTES,
        place="types",
    ),
]
