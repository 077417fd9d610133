"""Cost estimates, by which rules of definitions are refused: the figures of Kubernetes' own API server."""

from typing import Any

import pytest

from kcp.cel import DYN, compile_expression, compile_rule, schema_type
from kcp.cel.call_cost_estimates import cost_rule
from kcp.cel.libraries import functions
from kcp.cel.programs import EXPRESSION_COST_LIMIT

TYPES = {
    "int-or-string": {"x-kubernetes-int-or-string": True},
    "duration": {"type": "string", "format": "duration"},
    "date": {"type": "string", "format": "date"},
    "date-time": {"type": "string", "format": "date-time"},
}


def of(name: str) -> Any:
    return TYPES.get(name, {"type": name})


def limited(schema: Any, keyword: str, most: int) -> Any:
    return schema if most is None else {**schema, keyword: most}


def array(name: str) -> Any:
    return lambda most: limited({"type": "array", "items": of(name)}, "maxItems", most)


def mapping(name: str) -> Any:
    return lambda most: limited({"type": "object", "additionalProperties": of(name)}, "maxProperties", most)


def array_of_arrays(most: int) -> Any:
    inner = {"type": "array", "items": {"type": "number"}}
    return limited({"type": "array", "items": inner}, "maxItems", most)


def array_of_maps(most: int) -> Any:
    inner = limited({"type": "object", "additionalProperties": {"type": "number"}}, "maxProperties", most)
    return limited({"type": "array", "items": inner}, "maxItems", most)


def text(most: int) -> Any:
    return limited({"type": "string"}, "maxLength", most)


def binary(most: int) -> Any:
    return limited({"type": "string", "format": "byte"}, "maxLength", most)


def map_of_texts(most: int) -> Any:
    return limited({"type": "object", "additionalProperties": text(most)}, "maxProperties", most)


@pytest.mark.parametrize(
    ("schema", "rule", "unlimited", "most", "with_limit"),
    [
        (array("number"), "self.all(x, true)", 4718591, 10, 32),
        (array("string"), "self.all(x, true)", 3145727, 20, 62),
        (array("boolean"), "self.all(x, true)", 1887437, 5, 17),
        (array_of_arrays, "self.all(x, true)", 3145727, 100, 302),
        (mapping("number"), "self.all(x, true)", 1348169, 10, 32),
        (mapping("string"), "self.all(x, true)", 1179647, 3, 11),
        (mapping("boolean"), "self.all(x, true)", 943718, 100, 302),
        (text, "self.contains('test')", 314574, 10, 5),
        (text, "self.startsWith('test')", 2, 15, 2),
        (text, "self.endsWith('test')", 2, 30, 2),
        (text, 'size(self + "hello") > size("hello")', 314578, 4, 7),
        (array("number"), "self[1] == 0.0", 2, 5000, 2),
        (array("string"), "self[1] == self[1]", 314577, 8, 314577),
        (text, 'self.matches("x")', 314574, 50, 22),
        (text, '"".matches("(((((((((())))))))))[0-9]")', 7, 10, 7),
        (text, 'self.matches("")', 1, 100, 1),
        (map_of_texts, "self.all(x, x.contains(self[x]))", 2752507, 10, 72),
        (text, 'self == "x"', 2, 0, 1),
        (binary, 'self == b"x"', 2, 0, 1),
        (array("number"), "self.all(x, x == 0.0)", 6291454, 3 * 1024 * 2048, 25165826),
        (array("int-or-string"), "self.all(x, true)", 4718591, 10, 32),
        (array("int-or-string"), "self[0] == 5", 3, 10, 3),
        (array("boolean"), "self[0] == false", 2, 25, 2),
        (array_of_arrays, "self[0][0] == -1.0", 3, 51, 3),
        (array_of_maps, "self.all(x, x.y == 25.2)", 6291452, 12, 74),
        (array_of_maps, "self[0].x > 2.0", 4, 3000, 4),
        (array("duration"), "self.all(x, true)", 2359295, 5, 17),
        (array("duration"), "self[0].getHours() == 2", 4, 525, 4),
        (array("date"), "self.all(x, true)", 725936, 15, 47),
        (array("date"), "self[2].getDayOfMonth() == 13", 4, 42, 4),
        (array("date-time"), "self.all(x, true)", 428963, 25, 77),
        (array("date-time"), "self[2].getMinutes() == 45", 4, 99, 4),
        (mapping("int-or-string"), "self.all(x, true)", 1348169, 15, 47),
        (mapping("duration"), "self.all(x, true)", 1048577, 5, 17),
        (mapping("date"), "self.all(x, true)", 524288, 10, 32),
        (mapping("date-time"), "self.all(x, true)", 349526, 25, 77),
        (text, "self.find('[0-9]+') == ''", 629147, 10, 11),
    ],
)
def test_the_upper_estimate_follows_the_limits_of_the_schema(
    schema: Any, rule: str, unlimited: int, most: int, with_limit: int
) -> None:
    assert compile_rule(rule, schema(None), is_root=False).estimated_cost.maximum == unlimited
    assert compile_rule(rule, schema(most), is_root=False).estimated_cost.maximum == with_limit


@pytest.mark.parametrize(
    ("rule", "with_limit"),
    [
        ("self.all(x, self.all(y, true))", 352),
        ("self.all(x, self.all(y, self.all(z, true)))", 3552),
    ],
)
def test_nested_loops_multiply(rule: str, with_limit: int) -> None:
    assert compile_rule(rule, array("number")(10), is_root=False).estimated_cost.maximum == with_limit
    assert compile_rule(rule, array("number")(None), is_root=False).estimated_cost.maximum > EXPRESSION_COST_LIMIT


def test_length_of_an_enumerated_text_is_that_of_its_longest_value() -> None:
    schema = {"type": "string", "enum": ["a", "abcdefghijklmnopqrst"]}
    assert compile_rule("self.contains('a')", schema, is_root=False).estimated_cost.maximum == 3


def test_the_lower_estimate_is_that_of_an_operand_that_can_decide_alone() -> None:
    cost = compile_rule(
        "self.a > 1 && self.b > 1", {"type": "object", "properties": {n: of("integer") for n in "ab"}}, is_root=False
    )
    assert (cost.estimated_cost.minimum, cost.estimated_cost.maximum) == (3, 6)


def test_unknown_sizes_saturate() -> None:
    cost = compile_expression("x.all(a, x.all(b, a == b))", {"x": DYN}).estimated_cost
    assert cost.maximum == 2**64 - 1


@pytest.mark.parametrize(
    ("schema", "min_serialized_size", "cardinality"),
    [
        ({"type": "string"}, 2, 1048576),
        ({"type": "object", "required": ["ab"], "properties": {"ab": {"type": "integer"}}}, 9, 314572),
        ({"type": "object", "required": ["ab"], "properties": {"ab": {"type": "integer", "default": 1}}}, 2, 1048576),
    ],
)
def test_cardinality_is_how_often_the_smallest_value_fits_in_a_request(
    schema: dict[str, Any], min_serialized_size: int, cardinality: int
) -> None:
    node = schema_type(schema, is_root=False)
    assert node is not None
    assert (node.min_serialized_size, node.cardinality) == (min_serialized_size, cardinality)


T = {"type": "string"}
N = {"type": "integer"}


def lists(items: Any, **keywords: Any) -> Any:
    return {"type": "array", "items": items, **keywords}


def maps(values: Any) -> Any:
    return {"type": "object", "additionalProperties": values}


def objects(**properties: Any) -> Any:
    return {"type": "object", "properties": properties}


KEYED = lists(objects(k=T, v=T, v2=T), **{"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]})


@pytest.mark.parametrize(
    ("fields", "costs"),
    [
        ([N, N], {"self.val1 == self.val2": 4, "type(self.val1) == int": 4, "self.val1 + 1 == 2147483647 + 1": 5}),
        (
            [T, T],
            {
                "self.val1.matches('^[^0-9]*$')": 943721,
                "self.val1.charAt(3) == 'k'": 4,
                "self.val1.indexOf('o') == 1": 314576,
                "self.val1.replace(' ', 'x') == 'Rookxtakesx👑'": 629150,
                "self.val1.split(' ') == ['Rook', 'takes', '👑']": 629159,
                "self.val1.substring(4, 10).trim() == 'takes'": 629149,
                "self.val1.upperAscii() == 'ROOK TAKES 👑'": 314577,
                "self.val1.lowerAscii() == self.val1.lowerAscii()": 943723,
                "self.val1 in ['Pending', 'Available']": 14,
            },
        ),
        ([{"type": "string", "format": "byte"}] * 2, {"self.val1 == self.val2": 314577, "size(self.val1) == 2": 4}),
        ([{"type": "string", "format": "duration"}], {"self.val1 == duration('1h2m') + duration('3s4ms')": 6}),
        (
            [lists(N), lists(N)],
            {
                "1 in self.val1": 1572865,
                "self.val2[0] in self.val1": 1572868,
                "self.val1 + self.val2 == [1, 2, 3, 1, 2, 3]": 16,
                "self.val1 + [4, 5] == [1, 2, 3, 4, 5]": 24,
                "has(self.val1) && has(self.val2)": 2,
                "self.val1.all(k, size(self.val1) > 0)": 11010044,
                "self.val1.exists_one(k, self.val1 == [2])": 23592949,
                "!self.val1.exists_one(k, size(self.val1) > 0)": 9437183,
                "size(self.val1.filter(k, size(self.val1) > 1)) == 1": 26738686,
            },
        ),
        (
            [lists(T, **{"x-kubernetes-list-type": "set"})] * 2,
            {"self.val1 == ['c', 'b', 'a']": 13, "self.val1 == self.val2": 104862, "!('x' in self.val1)": 1048578},
        ),
        (
            [lists(KEYED)],
            {
                "self.val1[0] == self.val1[1]": 104864,
                "self.val1[0] + self.val1[2] == self.val1[2]": 104868,
                "self.val1[0] == [self.val1[0][0], self.val1[0][1]]": 22,
                "size(self.val1[0] + [self.val1[3][0]]) == 3": 20,
                "self.val1[0].all(k, size(self.val1[0]) > 0)": 8388604,
                "size(self.val1[0].filter(k, size(self.val1[0]) > 1)) == 1": 18874366,
            },
        ),
        (
            [maps(T), maps(T)],
            {
                "self.val1 == self.val2": 39326,
                "'k1' in self.val1": 3,
                "self.val1 == {'k1': 'a', 'k2': 'b'}": 33,
                "self.val1.exists_one(k, size(self.val1) > 0)": 2359294,
            },
        ),
        (
            [maps(N)],
            {
                "!has(self.val1.a)": 3,
                "self.val1.all(k, self.val1[k] > 0)": 3595115,
                "self.val1.exists_one(k, self.val1[k] == 2)": 2696338,
                "size(self.val1.filter(k, self.val1[k] > 1)) == 1": 8089017,
            },
        ),
        (
            [KEYED],
            {
                "has(self.val1[0].v)": 3,
                "self.val1.all(m, m.k.startsWith('a'))": 6291453,
                "self.val1.all(m, !has(m.v2) || m.v2 == 'z')": 8388603,
                "self.val1.exists(m, m.k.endsWith('1'))": 7340028,
            },
        ),
    ],
)
def test_upper_estimates_of_rules_without_limits(fields: Any, costs: dict[str, Any]) -> None:
    schema = objects(**{f"val{place}": field for place, field in enumerate(fields, 1)})
    assert {rule: compile_rule(rule, schema, is_root=False).estimated_cost.maximum for rule in costs} == costs


def test_every_function_whose_cost_depends_on_its_arguments_has_an_estimate() -> None:
    declared = [overload for name in functions().names for overload in functions().find(name) or ()]
    assert len(declared) > 200
    missing = [one.id for one in declared if one.cost is not None and cost_rule(one.function, one.id) is None]
    assert missing == []


HOSTS = {
    "type": "object",
    "properties": {
        "key": {"type": "string", "maxLength": 200},
        "hosts": {"type": "array", "maxItems": 256, "items": {"type": "string", "maxLength": 64}},
        "more": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 64}},
    },
}


@pytest.mark.parametrize(
    ("rule", "most"),
    [
        # The rules of Istio's ServiceEntry, and others whose items come from no field of the schema: cel-go takes the size of
        # such an item from the root of the schema, where an object has none.
        ("(has(self.hosts) ? self.hosts : []).exists(k, k.contains('/'))", 1292),
        ("self.key.split('/', 2)[0].matches('^[a-z0-9]+$')", 166),
        ("(self.hosts + self.more).all(h, h.contains('abcdefghijklmn'))", 1070),
        ("self.key.findAll('a').all(x, x.contains('abcdefghijklmnop'))", 3284),
        ("self.hosts.map(h, h).all(x, x.contains('abcdefghijklmnop'))", 4366),
        ("self.hosts.filter(h, true).all(x, x.contains('abcdefghijklmnop'))", 4366),
        # Items of a field keep its limit.
        ("self.hosts.all(x, x.contains('abcdefghijklmnop'))", 14339),
        ("self.hosts[0].contains('abcdefghijklmnop')", 55),
    ],
)
def test_items_of_lists_that_an_expression_makes_have_no_unbounded_size(rule: str, most: int) -> None:
    assert compile_rule(rule, HOSTS, is_root=False).estimated_cost.maximum == most
