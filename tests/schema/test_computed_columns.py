"""Computed printer columns: the annotation's rules, the cells of objects, and what bounds their evaluation."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api.tables import columns_of
from kcp.multicluster.crd_puller.columns import kinds_with_columns, printer_columns
from kcp.schema.definitions import validate_definition, validate_definition_update
from kcp.schema.definitions.computed_column_validation import annotation_errors
from kcp.schema.printer_columns import ANNOTATION, ComputedColumns, computed_columns
from tests.support.objects import definition

Object = dict[str, Any]
NOW = 1_700_000_000 * 10**9
PRINTED = [
    {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
]
SPEC: Object = {"versions": [{"name": "v1", "additionalPrinterColumns": PRINTED}]}
PATH = f"metadata.annotations[{ANNOTATION}]"


def column(expression: str, name: str = "Shown", **more: Any) -> Object:
    return {"name": name, "type": "string", "expression": expression, **more}


def annotation(*columns: Object, variables: list[Object] | None = None, **more: Any) -> str:
    entry: Object = {"name": "v1", "columns": list(columns), **more}
    if variables is not None:
        entry["variables"] = variables
    return json.dumps({"apiVersion": "kcp.io/v1", "kind": "PrinterColumns", "versions": [entry]})


def compiled(*columns: Object, variables: list[Object] | None = None) -> ComputedColumns:
    text = annotation(*columns, variables=variables)
    assert annotation_errors({ANNOTATION: text}, SPEC) == []
    found = computed_columns(text, "v1", columns_of(PRINTED))
    assert found is not None
    return found


def cell(expression: str, obj: Object) -> Any:
    return compiled(column(expression)).cells({"metadata": {"name": "a"}, **obj}, NOW)[0]


def mistakes(text: str) -> list[str]:
    return [f"{error.field.removeprefix(PATH)}: {error.body}" for error in annotation_errors({ANNOTATION: text}, SPEC)]


def test_columns_are_in_the_order_of_the_list_and_unlisted_ones_follow() -> None:
    columns = compiled(column("'x'", "First"), {"name": "Size"}, column("'y'", "Last", priority=1, format="name"))
    assert [(each.name, each.priority, each.format) for each in columns.columns] == [
        ("First", 0, ""),
        ("Size", 0, ""),
        ("Last", 1, "name"),
        ("Color", 0, ""),
    ]
    assert columns.cells({"spec": {"size": 3, "color": "red"}}) == ["x", 3, "y", "red"]


def test_a_computed_column_takes_the_place_of_the_printer_column_of_its_name() -> None:
    columns = compiled(column("string(self.spec.size) + ' m'", "Size"))
    assert [each.name for each in columns.columns] == ["Size", "Color"]
    assert columns.cells({"spec": {"size": 3}}) == ["3 m", None]


def test_variables_are_shared_and_a_failed_one_empties_the_columns_that_use_it() -> None:
    variables = [
        {"name": "size", "expression": "self.spec.size"},
        {"name": "double", "expression": "int(variables.size) * 2"},
    ]
    columns = compiled(column("variables.double", "Double"), column("'x'", "Constant"), variables=variables)
    assert columns.cells({"spec": {"size": 3}})[:2] == [6, "x"]
    assert columns.cells({"spec": {}})[:2] == [None, "x"]
    assert columns.cells({"spec": {"size": "many"}})[:2] == [None, "x"]


@pytest.mark.parametrize(
    ("expression", "obj", "expected"),
    [
        ("self.spec.size", {"spec": {"size": 3}}, 3),
        ("self.spec.size", {"spec": {"size": 1.5}}, 1.5),
        ("self.spec.size", {"spec": {"size": True}}, True),
        ("self.spec.size", {"spec": {"size": [3]}}, None),
        ("self.spec.size", {"spec": {}}, None),
        ("self.?spec.?size", {}, None),
        ("self.?spec.?size", {"spec": {"size": 3}}, 3),
        ("uint(3)", {}, 3),
        ("dyn(now)", {}, None),
        ("humanDuration(duration('95m'))", {}, "95m"),
        ("humanDuration(now - timestamp('2023-11-14T22:03:20Z'))", {}, "10m"),
        ("age(self.?since, now)", {"since": "2023-11-14T22:03:20Z"}, "10m"),
        ("age(timestamp(self.since), now)", {"since": "2023-11-14T22:03:20.5Z"}, "9m59s"),
        ("age(self.?since, now)", {}, "<unknown>"),
        ("age(self.?since, now)", {"since": ""}, "<unknown>"),
        ("age(self.?since, now)", {"since": "0001-01-01T00:00:00Z"}, "<unknown>"),
        ("age(self.?since, now)", {"since": "yesterday"}, "<invalid>"),
        ("age(self.?since, now)", {"since": 3}, None),
        ("formatLabels(self.?labels)", {"labels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        ("formatLabels(self.?labels)", {}, ""),
        ("formatLabels(self.?labels)", {"labels": {"b": 2}}, None),
        ("formatLabelSelector(self.?on)", {}, ""),
        ("formatLabelSelector(self.?on)", {"on": {"matchLabels": {"b": "2", "a": "1"}}}, "a=1,b=2"),
        (
            "formatLabelSelector(self.?on)",
            {
                "on": {
                    "matchLabels": {"b": "2"},
                    "matchExpressions": [
                        {"key": "d", "operator": "NotIn", "values": ["z", "y"]},
                        {"key": "a", "operator": "Exists"},
                        {"key": "c", "operator": "DoesNotExist"},
                        {"key": "e", "operator": "In", "values": ["v"]},
                    ],
                }
            },
            "a,b=2,!c,d notin (y,z),e in (v)",
        ),
        ("formatLabelSelector(self.?on)", {"on": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}, None),
        ("formatQuantity(self.?size)", {"size": "1024Mi"}, "1Gi"),
        ("formatQuantity(self.?size)", {"size": 1500}, "1500"),
        ("formatQuantity(self.?size)", {}, "0"),
        ("formatQuantity(self.?size)", {"size": "much"}, None),
        ("self.all.shorten(', ', 2)", {"all": ["a", "b", "c", "d"]}, "a, b + 2 more..."),
        ("self.all.shorten(', ', 2)", {"all": ["a", "b"]}, "a, b"),
        ("self.all.shorten(', ', 2)", {"all": []}, ""),
        ("self.all.sortedSet().join(',')", {"all": ["b", "a", "b"]}, "a,b"),
        ("self.all.sortedSet().join(',')", {"all": ["b", 1]}, None),
    ],
)
def test_cells(expression: str, obj: Object, expected: Any) -> None:
    found = cell(expression, obj)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "expression",
    [
        "size(self.many.map(a, self.many.map(b, a)))",
        "self.many.map(a, size(string(now))).sum()",
        "self.many.exists(a, self.deep == self.deep && false)",
        "self.many.exists(a, [self.deep] == [self.deep] && false)",
        "self.many.exists(a, self.deep in [self.deep] && false)",
        "self.many.map(a, size('%s'.format([self.deep]))).sum()",
        "self.many.map(a, size([self.many, self.many].flatten())).sum()",
        "self.many.map(a, size(self.many + self.many)).sum()",
        "self.many.map(a, size(formatLabelSelector(self.deep))).sum()",
        "self.some.map(a, isURL(self.long) ? 1 : 0).sum()",
        "self.some.map(a, timestamp(self.time) < now ? 1 : 0).sum()",
        "self.some.map(a, size(age(self.?time, now))).sum()",
    ],
)
def test_an_expression_beyond_the_cost_of_a_row_gives_an_empty_cell(expression: str) -> None:
    terms = [{"key": f"k{index}", "operator": "In", "values": ["a", "b"]} for index in range(1000)]
    texts = {"long": "a" * 1000, "time": f"2026-01-01T00:00:00.{'0' * 1000}Z"}
    obj = {"many": list(range(1200)), "some": list(range(300)), "deep": {"matchExpressions": terms}, **texts}
    columns = compiled(column("'before'", "Before"), column(expression, "Costly"), column("'x' + 'y'", "After"))
    assert columns.cells(obj)[:2] == ["before", None]


def test_functions_that_compare_all_elements_of_lists_are_not_there() -> None:
    for call in ("self.a.distinct()", "sets.contains(self.a, self.b)", "self.a.indexOf(self.b)"):
        assert (
            "undeclared reference" in mistakes(annotation(column(f"string(size({call}))")))[0]
            or "no matching" in (mistakes(annotation(column(f"string(size({call}))")))[0])
        )


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("{", ": Invalid value: must be JSON: "),
        ("[]", ": Invalid value: must be a JSON object"),
        ("{}", ".apiVersion: Unsupported value: "),
        (
            '{"apiVersion":"kcp.io/v2","kind":"PrinterColumns"}',
            '.apiVersion: Unsupported value: "kcp.io/v2": supported values: "kcp.io/v1"',
        ),
        (
            '{"apiVersion":"kcp.io/v1","kind":"Columns"}',
            '.kind: Unsupported value: "Columns": supported values: "PrinterColumns"',
        ),
        ('{"apiVersion":"kcp.io/v1","kind":"PrinterColumns"}', ".versions: Required value"),
        (
            '{"apiVersion":"kcp.io/v1","kind":"PrinterColumns","versions":[3]}',
            '.versions[0].name: Unsupported value: "": supported values: "v1"',
        ),
        (annotation(column("'x'"), name="v2"), '.versions[0].name: Unsupported value: "v2": supported values: "v1"'),
        (annotation(), ".versions[0].columns: Invalid value: must be a list of objects that is not empty"),
        (
            annotation(*[column("'x'", f"c{index}") for index in range(33)]),
            ".versions[0].columns: Too many: 33: must have at most 32 items",
        ),
        (
            annotation(column("'x'"), shade="red"),
            ".versions[0].shade: Forbidden: unknown field; the known ones are name, variables, columns",
        ),
        (annotation(column("'x'", prio=3)), ".versions[0].columns[0].prio: Forbidden: unknown field"),
        (annotation(column("'x'", "")), ".versions[0].columns[0].name: Required value"),
        (annotation(column("'x'"), column("'y'")), '.versions[0].columns[1].name: Duplicate value: "Shown"'),
        (
            annotation(column("'x'", type="text")),
            '.versions[0].columns[0].type: Unsupported value: "text": supported values: "boolean"',
        ),
        (annotation(column("'x'", format="hex")), '.versions[0].columns[0].format: Unsupported value: "hex"'),
        (
            annotation(column("'x'", priority="high")),
            '.versions[0].columns[0].priority: Invalid value: "high": must be an integer of 32 bits',
        ),
        (
            annotation(column("'x'", description=3)),
            ".versions[0].columns[0].description: Invalid value: 3: must be a string",
        ),
        (
            annotation({"name": "Height"}),
            '.versions[0].columns[0].name: Unsupported value: "Height": supported values: "Color", "Size"',
        ),
        (annotation({"name": "Size", "priority": 1}), ".versions[0].columns[0].expression: Required value"),
        (annotation(column("self.spec.")), ".versions[0].columns[0].expression: Invalid value: "),
        (
            annotation(column("[1]")),
            "must evaluate to a string, a number, a boolean or null, or to an optional of these",
        ),
        (annotation(column("object.spec")), "undeclared reference to 'object'"),
        (
            annotation(column("'" + "x" * 4100 + "'")),
            ".versions[0].columns[0].expression: Too long: may not be more than 4096 bytes",
        ),
        (
            annotation(column("'x'"), variables=[{"name": "a-b", "expression": "1"}]),
            '.versions[0].variables[0].name: Invalid value: "a-b"',
        ),
        (annotation(column("'x'"), variables=[{"name": "a"}]), ".versions[0].variables[0].expression: Required value"),
        (
            annotation(column("'x'"), variables=[{"name": "a", "expression": "1 +"}]),
            ".versions[0].variables[0].expression: Invalid value",
        ),
        (
            annotation(column("'x'"), variables=[{"name": "a", "expression": "1"}] * 2),
            '.versions[0].variables[1].name: Duplicate value: "a"',
        ),
        (
            annotation(column("'x'"), variables=[{"name": "a", "expression": "variables.a"}]),
            "undeclared reference to 'variables'",
        ),
        ("x" * 70_000, ": Too long: may not be more than 65536 bytes"),
    ],
)
def test_a_mistake_is_refused_with_its_path(text: str, mistake: str) -> None:
    found = mistakes(text)
    assert any(mistake in each for each in found), found


def test_a_definition_is_refused_for_its_annotation_but_an_update_may_keep_it() -> None:
    made = definition("widgets", "Widget")
    made["metadata"]["annotations"] = {ANNOTATION: "{"}
    assert PATH in {error.field for error in validate_definition(made)}
    kept = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    assert PATH not in {error.field for error in validate_definition_update(kept, made)}
    changed = {**made, "metadata": {**made["metadata"], "annotations": {ANNOTATION: "["}}}
    assert PATH in {error.field for error in validate_definition_update(changed, made)}


def test_a_stored_annotation_that_cannot_be_read_counts_as_absent() -> None:
    for text in ("{", "[]", "{}", annotation(column("'x'"), name="v2"), annotation()):
        assert computed_columns(text, "v1", columns_of(PRINTED)) is None


def test_a_stored_expression_that_does_not_compile_gives_empty_cells() -> None:
    found = computed_columns(annotation(column("self."), column("'x'", "Other")), "v1", columns_of(PRINTED))
    assert found is not None
    assert found.cells({"spec": {"color": "red"}}) == [None, "x", "red", None]


@cache
def all_columns() -> list[ComputedColumns]:
    """The columns of all kinds; compiling them takes a while, which not every worker is to spend."""
    return [
        found
        for kind in kinds_with_columns()
        for printed, text in [printer_columns(kind, "v1")]
        if (found := computed_columns(text, "v1", columns_of(printed))) is not None
    ]


FIELDS = sorted(
    {
        *(
            "metadata",
            "spec",
            "status",
            "conditions",
            "type",
            "status",
            "template",
            "containers",
            "initContainers",
            "name",
        ),
        *(
            "containerStatuses",
            "initContainerStatuses",
            "state",
            "terminated",
            "waiting",
            "reason",
            "restartCount",
            "ports",
        ),
        *("subsets", "addresses", "rules", "host", "metrics", "resource", "target", "currentMetrics", "labels", "hard"),
        *(
            "creationTimestamp",
            "deletionTimestamp",
            "annotations",
            "ownerReferences",
            "selector",
            "matchLabels",
            "replicas",
        ),
        *("matchExpressions", "startTime", "loadBalancer", "ingress", "capacity", "storage", "lastState", "finishedAt"),
    }
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.sampled_from(["Ready", "True", "2020-01-01T00:00:00Z", "Always", "1Gi", "Resource", "Completed"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=30,
)
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)


@settings(max_examples=60, deadline=None)
@given(OBJECTS, st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_object_breaks_the_row_of_any_kind(obj: Object, metadata: Object) -> None:
    obj["metadata"] = {**metadata, "name": "a"}
    for columns in all_columns():
        cells = columns.cells(obj, NOW)
        assert len(cells) == len(columns.columns)
        assert orjson.loads(orjson.dumps(cells)) is not None


KEYS = st.sampled_from(
    [
        "apiVersion",
        "kind",
        "versions",
        "name",
        "columns",
        "variables",
        "expression",
        "type",
        "format",
        "priority",
        "description",
    ]
)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["kcp.io/v1", "PrinterColumns", "v1", "self.spec", "variables.a", "[1]", "string"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(VALUES, st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=3))
def test_no_annotation_breaks_its_validation_or_a_table(content: Any, columns: list[Any], variables: list[Any]) -> None:
    entry = {"name": "v1", "columns": columns, "variables": variables}
    whole = {"apiVersion": "kcp.io/v1", "kind": "PrinterColumns", "versions": [entry]}
    for each in (content, whole):
        text = orjson.dumps(each).decode()
        annotation_errors({ANNOTATION: text}, SPEC)
        found = computed_columns(text, "v1", columns_of(PRINTED))
        if found is not None:
            assert len(found.cells({"metadata": {"name": "a"}}, NOW)) == len(found.columns)


def test_the_example_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "printer-columns.md").read_text()
    made = yaml.safe_load(
        page.partition("```yaml\n")[2].partition("```")[0].replace("  # ...", "  versions:\n  - name: v1")
    )
    text = made["metadata"]["annotations"][ANNOTATION]
    assert annotation_errors({ANNOTATION: text}, made["spec"]) == []
    found = computed_columns(text, "v1", columns_of(made["spec"]["versions"][0]["additionalPrinterColumns"]))
    assert found is not None
    parts = [{"name": name} for name in ("a", "b", "c", "d")]
    obj = {"metadata": {}, "spec": {"color": "red", "parts": parts}, "status": {"ready": 1}}
    assert found.cells(obj) == ["1/4", "red", "a, b, c + 1 more...", None]
