"""Field sets: FieldsV1 as Kubernetes writes it, set algebra, and how paths are shown."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kcp.api.patch import field_sets
from kcp.api.patch.managed_fields import update_managed_fields
from tests.patch.schemas import NOW, TYPE, VERSION, widget

Paths = frozenset[tuple[str, ...]]

ELEMENTS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"name":"x"}', 'v:"one"', "i:3"])
PATHS = st.frozensets(st.lists(ELEMENTS, min_size=1, max_size=4).map(tuple), max_size=8)
few = settings(max_examples=100)


def made(paths: Paths) -> dict[str, Any]:
    return field_sets.from_paths(list(paths))


def members(fields: dict[str, Any]) -> Paths:
    return frozenset(field_sets.paths(fields))


def is_canonical(fields: dict[str, Any]) -> bool:
    """Sorted keys, and a member without members below is an empty node."""
    return list(fields) == sorted(fields) and all(
        node != {".": {}} and is_canonical(node) for key, node in fields.items() if key != "."
    )


@few
@given(PATHS)
def test_a_set_contains_exactly_its_paths(paths: Paths) -> None:
    fields = made(paths)
    assert members(fields) == paths
    assert is_canonical(fields)
    assert field_sets.decode(fields) == fields
    for path in paths:
        assert field_sets.contains(fields, path)
        assert field_sets.contains(fields, (*path, "f:zzz")) is False


@few
@given(PATHS, PATHS)
def test_the_operations_are_those_of_sets_of_paths(left: Paths, right: Paths) -> None:
    a, b = made(left), made(right)
    for result, expected in (
        (field_sets.union(a, b), left | right),
        (field_sets.intersection(a, b), left & right),
        (field_sets.difference(a, b), left - right),
    ):
        assert members(result) == expected
        assert is_canonical(result)
    assert (members(a), members(b)) == (left, right), "the operands must not change"


@few
@given(PATHS, PATHS)
def test_recursive_difference_drops_everything_below_a_member(left: Paths, right: Paths) -> None:
    expected = {path for path in left if not any(path[: n + 1] in right for n in range(len(path)))}
    assert members(field_sets.recursive_difference(made(left), made(right))) == expected


@few
@given(PATHS)
def test_leaves_are_the_members_without_members_below(paths: Paths) -> None:
    expected = {path for path in paths if not any(other != path and other[: len(path)] == path for other in paths)}
    assert members(field_sets.leaves(made(paths))) == expected


@few
@given(PATHS, PATHS, PATHS)
def test_union_is_associative_and_difference_undoes_it(a: Paths, b: Paths, c: Paths) -> None:
    x, y, z = made(a), made(b), made(c)
    assert field_sets.union(field_sets.union(x, y), z) == field_sets.union(x, field_sets.union(y, z))
    assert field_sets.difference(field_sets.union(x, y), y) == field_sets.difference(x, y)


def test_a_difference_without_common_members_returns_the_set_itself() -> None:
    fields = made(frozenset({("f:a", "f:b")}))
    assert field_sets.difference(fields, made(frozenset({("f:a",), ("f:c",)}))) is fields


def test_decoding_gives_the_canonical_form() -> None:
    sent: dict[str, Any] = {
        'k:{"b":1.0,"a":"x"}': {".": {}},
        "f:spec": {"f:b": {}, "f:a": {}},
        'v:"\\u003c"': {},
        "q:unknown": {},
    }
    assert list(field_sets.decode(sent).items()) == [
        ("f:spec", {"f:a": {}, "f:b": {}}),
        ('k:{"a":"x","b":1}', {}),
        ('v:"<"', {}),
    ]


@pytest.mark.parametrize(
    "sent", [{"f": {}}, {"spec": {}}, {"v:": {}}, {"k:[]": {}}, {"k:{": {}}, {"i:x": {}}, {"f:a": 1}, []]
)
def test_malformed_sets_are_refused(sent: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        field_sets.decode(sent)


def test_a_set_that_is_nested_too_deeply_is_refused() -> None:
    fields: dict[str, Any] = {}
    for _ in range(500):
        fields = {"f:a": fields}
    with pytest.raises(ValueError, match="nested too deeply"):
        field_sets.decode(fields)


def test_paths_are_formatted_as_in_kubernetes() -> None:
    path = ("f:spec", 'k:{"port":80,"protocol":"TCP"}', "f:tags", 'v:"x"', "i:0")
    assert field_sets.format_path(path) == '.spec[port=80,protocol="TCP"].tags[="x"][0]'


def test_a_number_beyond_64_bits_cannot_identify_an_item() -> None:
    with pytest.raises(ValueError, match="64-bit"):
        field_sets.key_element({"port": 10**30})
    with pytest.raises(ValueError, match="64-bit"):
        field_sets.value_element(10**30)


TEXTS = st.text(alphabet=st.sampled_from('ab"\\\\,:{}[] !#~é'), max_size=5)
MANY = 1_200
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "selector": st.builds(lambda text: {f"{text}{number}{text}": "x" for number in range(MANY)}, TEXTS),
        "tags": st.builds(lambda text: [text, text, *(f"{number}{text}" for number in range(MANY))], TEXTS),
        "containers": st.builds(lambda text: [{"name": f"{text}{number}"} for number in range(MANY)], TEXTS),
        "ports": st.builds(
            lambda names: [
                {"port": number // 2, **({"name": "x"} if number in names else {})} for number in range(MANY)
            ],
            st.frozensets(st.integers(0, MANY)),
        ),
        "free": st.builds(
            lambda text: {"a": {f"{number}{text}": [1] for number in range(MANY)}, text: {"b": 1}}, TEXTS
        ),
    },
)


@settings(max_examples=40, deadline=None)
@given(SPECS)
@example({"selector": {f'{number}",': "x" for number in range(MANY)}})
@example({"selector": {f"{number}\\": "x" for number in range(MANY)}})
@example({"tags": [f'{number}",' for number in range(MANY)]})
def test_sets_that_are_encoded_at_once_have_the_same_text(spec: Any) -> None:
    obj = widget(spec, labels={"a": "b"})

    def owned(*, encoded: bool) -> bytes:
        return orjson.dumps(
            update_managed_fields(None, obj, TYPE, manager="m", api_version=VERSION, now=NOW, encoded=encoded)
        )

    assert owned(encoded=True) == owned(encoded=False)
