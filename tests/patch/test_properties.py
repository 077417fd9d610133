"""Properties of patches and ownership that hold for any object."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kcp.api import json_values
from kcp.api.errors import StatusError
from kcp.api.patch import field_sets, json_patch, merge_patch, strategic_merge, typed_comparison
from tests.patch.schemas import RESET, TYPE, applied, owned, widget, written

few = settings(max_examples=100)

NAMES = st.sampled_from("abcd")
SCALARS = st.one_of(st.integers(0, 3), st.sampled_from(["x", "y"]), st.booleans())
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, JSON, max_size=4)


def keyed(key: str, items: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(items, min_size=1, max_size=3, unique_by=lambda item: item[key])


CONTAINERS = keyed(
    "name",
    st.fixed_dictionaries(
        {"name": NAMES},
        optional={
            "image": st.sampled_from(["1", "2"]),
            "args": st.lists(NAMES, min_size=1, max_size=2),
            "env": keyed("name", st.fixed_dictionaries({"name": NAMES}, optional={"value": NAMES})),
        },
    ),
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(0, 2),
        "paused": st.booleans(),
        "template": st.fixed_dictionaries({"color": NAMES}, optional={"size": st.integers(0, 2)}),
        "selector": st.dictionaries(NAMES, NAMES, min_size=1, max_size=3),
        "reference": st.fixed_dictionaries({"kind": NAMES}, optional={"name": NAMES}),
        "args": st.lists(NAMES, min_size=1, max_size=3),
        "tags": st.lists(NAMES, min_size=1, max_size=3, unique=True),
        "containers": CONTAINERS,
        "ports": keyed("port", st.fixed_dictionaries({"port": st.integers(1, 3)}, optional={"name": NAMES})),
        "free": st.dictionaries(NAMES, JSON, min_size=1, max_size=3),
    },
)
WIDGETS = st.builds(widget, SPECS.filter(bool), labels=st.dictionaries(NAMES, NAMES, min_size=1, max_size=2))


def merge_patch_between(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            patch[key] = merge_patch_between(old[key], value)
        elif key not in old or not json_values.equal(old[key], value):
            patch[key] = value
    return patch


@few
@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_between_two_documents_leads_from_one_to_the_other(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert json_values.equal(merge_patch.apply(old, merge_patch_between(old, new)), new)


@few
@given(DOCUMENTS, DOCUMENTS)
def test_a_strategic_merge_patch_without_a_schema_is_a_merge_patch(old: dict[str, Any], new: dict[str, Any]) -> None:
    patch = merge_patch_between(old, new)
    assert (
        strategic_merge.apply({"spec": {"free": old}}, {"spec": {"free": patch}}, TYPE)["spec"].get("free", {}) == new
    )


POINTERS = st.lists(st.sampled_from(["a", "b", "c", "0", "1", "-"]), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
OPERATIONS = st.one_of(
    st.fixed_dictionaries({"op": st.sampled_from(["add", "replace", "test"]), "path": POINTERS, "value": JSON}),
    st.fixed_dictionaries({"op": st.just("remove"), "path": POINTERS}),
    st.fixed_dictionaries({"op": st.sampled_from(["move", "copy"]), "from": POINTERS, "path": POINTERS}),
)


@few
@given(DOCUMENTS, st.lists(OPERATIONS, max_size=6))
def test_a_json_patch_is_the_sum_of_its_operations_and_changes_no_input(
    document: dict[str, Any], operations: list[dict[str, Any]]
) -> None:
    """Applied one by one to deep copies, nothing is shared."""
    before = copy.deepcopy((document, operations))
    expected: Any = document
    kept = []
    for operation in operations:
        try:
            expected = json_patch.apply(copy.deepcopy(expected), [copy.deepcopy(operation)])
        except StatusError:
            continue
        kept.append(operation)
    assert json_values.equal(json_patch.apply(document, kept), expected)
    assert (document, operations) == before


def everything_of(obj: dict[str, Any]) -> dict[str, Any]:
    return typed_comparison.compare({}, obj, TYPE, RESET[""]).modified


@few
@given(st.lists(st.tuples(st.sampled_from(["one", "two", "three"]), WIDGETS), min_size=1, max_size=5))
def test_after_any_updates_every_field_has_exactly_one_owner(steps: list[tuple[str, dict[str, Any]]]) -> None:
    live: dict[str, Any] | None = None
    for manager, obj in steps:
        live = written(live, obj, manager)
    assert live is not None
    seen: dict[str, Any] = {}
    for entry in live["metadata"]["managedFields"]:
        assert field_sets.intersection(seen, entry["fieldsV1"]) == {}
        seen = field_sets.union(seen, entry["fieldsV1"])
        assert field_sets.decode(entry["fieldsV1"]) == entry["fieldsV1"]
    assert seen == everything_of(live)


@few
@given(WIDGETS, WIDGETS)
def test_a_comparison_has_exactly_the_modified_and_removed_fields(old: dict[str, Any], new: dict[str, Any]) -> None:
    made = typed_comparison.compare(old, new, TYPE)
    assert not typed_comparison.compare(old, copy.deepcopy(old), TYPE)
    before, after = everything_of(old), everything_of(new)
    assert field_sets.difference(made.modified, after) == {}
    assert field_sets.difference(field_sets.difference(before, made.all()), after) == {}
    assert field_sets.difference(field_sets.difference(after, made.modified), before) == {}


@few
@given(WIDGETS)
def test_applying_twice_is_applying_once(config: dict[str, Any]) -> None:
    live = applied(None, config)
    assert applied(live, copy.deepcopy(config)) is live


@few
@given(WIDGETS, WIDGETS)
def test_a_sole_applier_gets_exactly_its_last_configuration(first: dict[str, Any], second: dict[str, Any]) -> None:
    made = applied(applied(None, first), second)
    assert owned(made, "applier") == owned(applied(None, second), "applier")
    expected = applied(None, second)
    assert everything_of(made) == everything_of(expected)


@few
@given(WIDGETS, WIDGETS, WIDGETS)
def test_fields_of_another_manager_remain_when_an_applier_drops_its_own(
    theirs: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Except for fields inside of a value that the applier has replaced as a whole."""
    live = applied(written(None, theirs, "writer"), first, force=True)
    made = applied(live, second, force=True)
    kept = field_sets.recursive_difference(owned(live, "writer"), field_sets.leaves(owned(made, "applier")))
    assert field_sets.difference(kept, everything_of(made)) == {}


@few
@given(WIDGETS, WIDGETS)
def test_after_force_nobody_else_owns_the_changed_fields(theirs: dict[str, Any], config: dict[str, Any]) -> None:
    live = written(None, theirs, "writer")
    made = applied(live, config, force=True)
    modified = typed_comparison.compare(live, made, TYPE, RESET[""]).modified
    assert field_sets.intersection(owned(made, "writer"), modified) == {}


@few
@given(WIDGETS, WIDGETS)
def test_force_takes_over_exactly_the_conflicting_fields(theirs: dict[str, Any], config: dict[str, Any]) -> None:
    live = written(None, theirs, "writer")
    forced = applied(live, config, force=True)
    modified = typed_comparison.compare(live, forced, TYPE, RESET[""]).modified
    lost = field_sets.intersection(owned(live, "writer"), modified)
    if lost:
        with pytest.raises(StatusError) as refusal:
            applied(live, config)
        causes = (refusal.value.details or {})["causes"]
        assert refusal.value.code == 409
        assert {cause["field"] for cause in causes} == {field_sets.format_path(path) for path in field_sets.paths(lost)}
    else:
        assert applied(live, config) == forced
