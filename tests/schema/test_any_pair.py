"""Properties of the comparison of schemas: no object contradicts a verdict, and the lowest common schema is a lower bound."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from kcp.api import json_values
from kcp.schema import compile_schema
from kcp.schema.compatibility import InvalidSchemaError, NoCommonSchemaError, compare, lowest_common_schema
from kcp.schema.compatibility.schemas import check_schema
from tests.schema.any_schemas import any_object, any_schema, changed

Raw = dict[str, Any]
ATTEMPTS = 8
OBJECTS = 12
randoms = st.randoms(use_true_random=True)


def is_valid_schema(raw: Raw) -> bool:
    try:
        check_schema(raw, "")
    except InvalidSchemaError:
        return False
    return True


def with_spec(spec: Raw) -> Raw:
    return {"type": "object", "properties": {"spec": spec}}


def family(random: Random, size: int = 2, *, compatible: bool = False) -> list[Raw]:
    """Schemas each of which differs a little from the one before, often by a ``compatible`` change."""
    found = [with_spec({"type": "string"})]
    for _ in range(ATTEMPTS):
        first = with_spec(any_schema(random))
        if is_valid_schema(first):
            found = [first]
            break
    while len(found) < size:
        found.append(neighbour(random, found[-1], compatible=compatible))
    return found


def neighbour(random: Random, before: Raw, *, compatible: bool) -> Raw:
    """A valid schema that differs a little from another."""
    for _ in range(ATTEMPTS):
        spec = changed(random, before["properties"]["spec"])
        if random.random() < 0.3:
            spec = changed(random, spec)
        after = with_spec(spec)
        if is_valid_schema(after) and not (compatible and compare(before, after)):
            return after
    return before


def stored(raw: Raw, obj: Raw) -> Raw | None:
    """The object as a server with this schema stores it; None if it refuses the object or prunes something."""
    compiled = compile_schema(raw)
    found = json_values.copy(obj)
    unknown: list[str] = []
    compiled.prune(found, unknown)
    compiled.default(found)
    return None if unknown or compiled.validate(found) else found


def assert_understands(raw: Raw, obj: Raw, writer: Raw) -> None:
    """A server with the schema ``raw`` keeps an object of ``writer``, and adds only fields that ``writer`` does not know."""
    compiled = compile_schema(raw)
    found = json_values.copy(obj)
    unknown: list[str] = []
    compiled.prune(found, unknown)
    assert unknown == []
    assert json_values.equal(found, obj)
    compiled.default(found)
    assert [str(error) for error in compiled.validate(found)] == []
    compile_schema(writer).prune(found)
    assert json_values.equal(found, obj)


@given(randoms)
@settings(max_examples=60)
def test_no_object_contradicts_that_a_schema_is_compatible(random: Random) -> None:
    old, new = family(random, compatible=True)
    if compare(old, new):
        event("incompatible")
        return
    event("equal" if old == new else "compatible")
    for _ in range(OBJECTS):
        obj = stored(old, any_object(random, old))
        if obj is not None:
            assert_understands(new, obj, old)


@given(randoms)
@settings(max_examples=60)
def test_both_schemas_understand_every_object_of_the_lowest_common_schema(random: Random) -> None:
    old, new = family(random)
    common = common_of(old, new)
    event("none" if common is None else "a common schema")
    if common is None:
        return
    assert is_valid_schema(common)
    for _ in range(OBJECTS):
        obj = stored(common, any_object(random, random.choice((old, new, common))))
        if obj is not None:
            assert_understands(old, obj, common)
            assert_understands(new, obj, common)


def common_of(one: Raw, other: Raw) -> Raw | None:
    try:
        return lowest_common_schema(one, other)
    except NoCommonSchemaError:
        return None


def are_equivalent(one: Raw, other: Raw) -> bool:
    return not compare(one, other) and not compare(other, one)


@given(randoms)
@settings(max_examples=60)
def test_the_lowest_common_schema_is_symmetric_idempotent_and_a_lower_bound(random: Random) -> None:
    old, new = family(random)
    common, mirrored = common_of(old, new), common_of(new, old)
    assert (common is None) == (mirrored is None)
    if common is None or mirrored is None:
        assert compare(old, new)
        assert compare(new, old)
        return
    assert are_equivalent(common, mirrored)
    assert common_of(common, common) == common
    for side in (old, new):
        # a default may be that of the other side, or none where the property is required instead
        assert [str(each) for each in compare(common, side) if not each.field.endswith(".default")] == []
        again = common_of(common, side)
        assert again is not None
        assert are_equivalent(again, common)
    if not compare(old, new):
        assert common == old


@given(randoms)
@settings(max_examples=40)
def test_a_schema_is_compatible_with_itself(random: Random) -> None:
    for each in family(random):
        assert compare(each, each) == []
        assert compare(each, json_values.copy(each)) == []
        assert lowest_common_schema(each, each) == each


@given(randoms)
@settings(max_examples=60)
def test_compatibility_is_transitive(random: Random) -> None:
    first, second, third = family(random, 3, compatible=True)
    if not compare(first, second) and not compare(second, third):
        assert compare(first, third) == []
