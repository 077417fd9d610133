"""Requests whose work grows with what is there: the same kinds as in `many_objects`, by other routes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from tests.stalls.many_objects import MANY_TYPES, SMALL_ONES, TABLE
from tests.stalls.requests import (
    ANYTHING,
    MAPS,
    MAPS_LIST,
    MERGE_PATCH,
    ONE,
    WIDGETS,
    Attack,
    Call,
    apply_of,
    config_map,
    create,
    define,
    definition,
    keyed,
    numbers,
    of,
    spec_of,
    strings,
    widget,
)
from tests.support.objects import DEFINITIONS

_PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_METADATA: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_INITIAL: Final = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
_OWNED: Final = 3_000
_ANYTHING_STORED: Final = 1 << 28
"""Bytes. The logical clusters of all other requests are listed too."""
_APPLIERS: Final = 10
_FOREGROUND: Final = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}


def _watch(accept: str) -> Call:
    return Call("GET", f"{MAPS}?{_INITIAL}&timeoutSeconds=1", headers={"Accept": accept})


def _many_widgets() -> Sequence[Call]:
    objects = [create(partial(widget, f"w{number:05}", spec={"a": "b"}), WIDGETS) for number in range(2_000)]
    return [ANYTHING, *objects]


def _other_schema() -> Call:
    """The change that makes stored Widgets those of an older schema."""
    schema = of("object", properties={"b": of("string", default="c")}, **{"x-kubernetes-preserve-unknown-fields": True})
    versions = definition(schema)["spec"]["versions"]
    return Call("PATCH", f"{DEFINITIONS}/widgets.example.com", lambda: {"spec": {"versions": versions}}, MERGE_PATCH)


_COLUMN: Final = {"name": "All", "type": "string", "jsonPath": ".spec.list[?(@.v==1)].name"}
_COLUMNS: Final = Call("POST", DEFINITIONS, lambda: definition(additionalPrinterColumns=[_COLUMN]))
_LARGE_WIDGET: Final = create(lambda: widget(spec=numbers(90_000, "v")), WIDGETS)


def _applied(value: int) -> Any:
    return widget(spec={"map": [{**item, "v": value} for item in keyed(2_000)]})


def _deleted_namespace() -> Sequence[Call]:
    path = "/api/v1/namespaces/full/configmaps"
    namespace = create(lambda: {"metadata": {"name": "full"}}, "/api/v1/namespaces")
    return [namespace, *(create(partial(config_map, f"c{number:05}"), path) for number in range(_OWNED))]


def _deep_rule(condition: str) -> Call:
    """A rule that compares two large values again and again."""
    trees = of("object", maxProperties=60_000, additionalProperties=of("object", additionalProperties=of("string")))
    values = of("array", maxItems=2, items=of("object", properties={"deep": of("object", properties={"m": trees})}))
    many = of("array", items=of("integer"), maxItems=300)
    rule = {"rule": f"self.many.all(x, self.many.all(y, {condition}))"}
    return define({**spec_of(many=many, values=values), "x-kubernetes-validations": [rule]})


def _deep_widget() -> Any:
    values = [{"deep": {"m": numbers(10_000, {"a": "b"})}} for _ in range(2)]
    return widget(spec={"many": list(range(300)), "values": values})


_BY_SCHEMA: Final = "self.values[0].deep == self.values[1].deep"
_BY_VALUE: Final = "dyn(self.values[0].deep) == dyn(self.values[1].deep)"


SIBLINGS: Final = [
    Attack("the initial events of a watch of many", _watch("application/json"), SMALL_ONES, place="many"),
    Attack("the initial rows of a watch of many", _watch(TABLE), SMALL_ONES, place="many"),
    Attack("many as protobuf", Call("GET", MAPS, headers={"Accept": _PROTOBUF}), SMALL_ONES, place="many"),
    Attack("the metadata of many", Call("GET", MAPS, headers={"Accept": _METADATA}), SMALL_ONES, place="many"),
    Attack(
        "many of all logical clusters",
        Call("GET", "/api/v1/configmaps"),
        SMALL_ONES,
        place="many",
        everywhere=True,
        largest_answer=_ANYTHING_STORED,
    ),
    Attack(
        "the initial row of a large object",
        _watch(TABLE),
        [create(lambda: config_map(data=numbers(90_000, "v")))],
    ),
    Attack(
        "the discovery of many types", Call("GET", "/apis", headers={"Accept": _AGGREGATED}), MANY_TYPES, place="types"
    ),
    Attack("many of an older schema", Call("GET", WIDGETS), [*_many_widgets(), _other_schema()]),
    Attack("a change of the schema of many", _other_schema(), _many_widgets()),
    Attack("a large object of an older schema", Call("GET", WIDGETS), [ANYTHING, _LARGE_WIDGET, _other_schema()]),
    Attack(
        "a column over a large list",
        Call("GET", WIDGETS, headers={"Accept": TABLE}),
        [_COLUMNS, create(lambda: widget(spec={"list": keyed(100_000)}), WIDGETS)],
    ),
    Attack(
        "an apply over the fields of many managers",
        apply_of(lambda: _applied(_APPLIERS), ONE, "last"),
        [MAPS_LIST, *(apply_of(partial(_applied, 1), ONE, f"m{number}") for number in range(_APPLIERS))],
    ),
    Attack(
        "managed fields of many managers, patched",
        Call("PATCH", f"{MAPS}/a", lambda: {"data": {"a": "b"}}, MERGE_PATCH),
        [
            apply_of(partial(config_map, data=dict.fromkeys(strings(100), "v")), f"{MAPS}/a", f"manager-{number}")
            for number in range(200)
        ],
    ),
    Attack(
        "a rule that compares large values",
        create(_deep_widget, WIDGETS),
        [_deep_rule(_BY_VALUE)],
        answers=frozenset({422}),
    ),
    Attack(
        "a rule that compares large values by schema",
        create(_deep_widget, WIDGETS),
        [_deep_rule(_BY_SCHEMA)],
        answers=frozenset({422}),
    ),
    Attack("a deletion of many", Call("DELETE", MAPS), SMALL_ONES, place="deleted"),
    Attack(
        "a namespace with many objects, deleted",
        Call("DELETE", "/api/v1/namespaces/full", lambda: _FOREGROUND),
        _deleted_namespace(),
        gone="/api/v1/namespaces/full",
    ),
]
