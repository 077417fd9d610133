"""Actual costs of evaluation, and its cancellation at the limit. The figures are those of Kubernetes' API server."""

from typing import Any

import pytest

from kcp.cel import ABSENT, DYN, Budget, BudgetExceededError, EvaluationError, compile_expression, compile_rule
from kcp.cel.limits import Visits

TEXT = {"type": "string"}
NUMBERS = {"type": "object", "additionalProperties": {"type": "integer"}}


def cost(rule: str, schema: Any, value: Any) -> Any:
    budget = Budget(10**9)
    compile_rule(rule, schema, is_root=False).evaluate(value, ABSENT, budget)
    return 10**9 - budget.remaining


def in_object(name: str, schema: Any) -> Any:
    return {"type": "object", "properties": {name: schema}}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("self.v.startsWith('Rook')", 4),
        ("self.v.matches('^[^0-9]*$')", 8),
        ("type(self.v) == string", 4),
        ("size(self.v) == 12", 4),
        ("self.v.charAt(3) == 'k'", 4),
        ("self.v.indexOf('o') == 1", 4),
        ("self.v.substring(0, 4) == 'Rook'", 5),
        ("self.v.upperAscii() == 'ROOK TAKES 👑'", 6),
        ("self.v.substring(4, 10).trim() == 'takes'", 6),
    ],
)
def test_the_cost_of_string_functions_depends_on_the_length(rule: str, expected: int) -> None:
    assert cost(rule, in_object("v", TEXT), {"v": "Rook takes 👑"}) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("!('a' in self.v)", 4),
        ("'b' in self.v", 3),
        ("has(self.v.b)", 2),
        ("self.v.all(k, self.v[k] > 0)", 17),
        ("!self.v.exists(k, self.v[k] == 3)", 20),
        ("size(self.v) == 2", 4),
        ("size(self.v.filter(k, self.v[k] > 1)) == 1", 26),
        ("self.v.all(k, v, v > 0)", 13),
        ("!self.v.exists(k, v, v == 3)", 16),
        ("self.v.transformMap(k, v, v > 1, v + 1).size() == 1", 14),
        ("self.v.transformMap(k, v, v + 1).size() == 2", 15),
        ("self.v.transformMapEntry(k, v, v > 1, {k + '2': v + 1}).size() == 1", 45),
        ("self.v.transformMapEntry(k, v, {k + '2': v + 1}).size() == 2", 77),
    ],
)
def test_the_cost_of_a_comprehension_depends_on_its_elements(rule: str, expected: int) -> None:
    assert cost(rule, in_object("v", NUMBERS), {"v": {"b": 1, "d": 2}}) == expected


def test_an_evaluation_that_costs_too_much_is_cancelled() -> None:
    program = compile_expression("x.all(a, x.all(b, x.all(c, a + b + c >= 0)))", {"x": DYN})
    with pytest.raises(BudgetExceededError) as raised:
        program.evaluate_variables({"x": list(range(200))})
    assert raised.value.per_call
    assert str(raised.value) == "operation cancelled: actual cost limit exceeded"


def test_a_cancelled_evaluation_is_not_absorbed_by_another_operand() -> None:
    program = compile_expression("x.all(a, x.all(b, x.all(c, true))) || true", {"x": DYN})
    with pytest.raises(BudgetExceededError):
        program.evaluate_variables({"x": list(range(200))})


def test_evaluations_share_a_budget() -> None:
    program = compile_rule("self.all(x, x > 0)", {"type": "array", "items": {"type": "integer"}}, is_root=False)
    budget = Budget(1000)
    program.evaluate([1] * 100, ABSENT, budget)
    with pytest.raises(BudgetExceededError) as raised:
        program.evaluate([1] * 100, ABSENT, budget)
    assert not raised.value.per_call


def test_a_failed_evaluation_uses_up_its_budget() -> None:
    program = compile_expression("x.map(a, a + 1).size() == 1 / 0", {"x": DYN})
    budget = Budget()
    before = budget.remaining
    with pytest.raises(EvaluationError, match="division by zero"):
        program.evaluate_variables({"x": [1] * 100}, budget)
    assert before - budget.remaining > 1000


def test_a_call_may_be_given_a_lower_limit() -> None:
    program = compile_expression("x.all(a, a > 0)", {"x": DYN})
    assert program.evaluate_variables({"x": [1] * 100}) is True
    with pytest.raises(BudgetExceededError):
        program.evaluate_variables({"x": [1] * 100}, limit=50)


# Work that cel-go does not charge for

TREES = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": TEXT}}
ITEM = {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": TEXT}}
MOMENT = {"type": "string", "format": "date-time"}
LARGE = {
    "type": "object",
    "properties": {
        "many": {"type": "array", "items": {"type": "integer"}},
        "deep": TREES,
        "other": TREES,
        "numbers": {"type": "array", "items": {"type": "number"}},
        "items": {"type": "array", "items": ITEM},
        "keyed": {
            "type": "array",
            "items": {"type": "object", "properties": {"a": TEXT, "at": {**MOMENT, "nullable": True}}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["a"],
        },
        "set": {"type": "array", "items": ITEM, "x-kubernetes-list-type": "set"},
        "strings": {"type": "array", "items": TEXT},
        "long": TEXT,
        "same": TEXT,
        "bytes": {"type": "string", "format": "byte"},
        "time": MOMENT,
    },
}
MANY = 2_000


def large() -> dict[str, Any]:
    return {
        "many": list(range(600)),
        "deep": {str(number): {"a": "b"} for number in range(MANY)},
        "other": {str(number): {"a": "b"} for number in range(MANY)},
        "numbers": [1.5] * MANY,
        "items": [{"a": str(number)} for number in range(MANY)],
        "keyed": [{"a": str(number), "at": "2026-01-01T00:00:00Z"} for number in range(MANY)],
        "set": [{"a": str(number)} for number in range(MANY)],
        "strings": [""] * MANY,
        "long": "a" * 100 * MANY,
        "same": "a" * 100 * MANY,
        "bytes": "YWJj" * 100 * MANY,
        "time": "2026-01-01T00:00:00Z",
    }


# Each is repeated 360,000 times; cel-go's cost of that is a few million at most.
REPEATED = [
    "self.deep == self.other",
    "!(self.deep != oldSelf.deep)",
    "dyn(self.deep) == dyn(self.other)",
    "self.deep in [self.other]",
    "[self.deep].indexOf(self.other) == 0",
    "[self.deep].lastIndexOf(self.other) == 0",
    "dyn([self.deep]).includes(self.other)",
    "[self.deep, self.other].distinct().size() == 1",
    "sets.contains([self.deep], [self.other])",
    "sets.equivalent([self.deep], [self.other])",
    "sets.intersects([self.deep], [self.other])",
    "optional.of(self.deep) == optional.of(self.other)",
    "{'a': self.deep} == {'a': self.other}",
    "'%s'.format([self.deep]) != ''",
    "self.keyed == oldSelf.keyed",
    "self.set == oldSelf.set",
    "self.items == oldSelf.items",
    "(self.keyed + oldSelf.keyed).size() > 0",
    "(self.items + self.items).size() > 0",
    "[self.strings, self.strings].flatten().size() > 0",
    "self.strings.join() == ''",
    "self.strings.indexOf('a') == -1",
    "self.numbers.size() > 0",
    "dyn(self.keyed).size() > 0",
    "self.bytes.size() > 0",
    "self.time == self.time",
    "self.long in [self.same]",
    "{'a': self.long} == {'a': self.same}",
    "!isURL(self.long)",
    "timestamp(self.long) > timestamp(self.time) || true",
    "duration(self.long) > duration('1s') || true",
    "double(self.long) > 1.0 || true",
    "int(self.long) > 1 || true",
    "'aaaaaaaaaaaaaaaa'.replace('a', self.long).size() > 0",
    "[1].transformMapEntry(index, number, self.deep).size() > 0",
    "optional.unwrap(self.deep.map(key, optional.of(key))).size() > 0",
]


@pytest.mark.parametrize("condition", REPEATED)
def test_work_on_nested_values_is_cancelled_at_the_limit(condition: str) -> None:
    program = compile_rule(f"self.many.all(x, self.many.all(y, {condition}))", LARGE, is_root=False)
    budget = Budget()
    with pytest.raises(BudgetExceededError) as raised:
        program.evaluate(large(), large(), budget)
    assert raised.value.per_call
    assert str(raised.value) == "operation cancelled: actual cost limit exceeded"


@pytest.mark.parametrize("condition", [condition for condition in REPEATED if "deep" in condition])
def test_the_cost_grows_with_the_nested_values(condition: str) -> None:
    repeated = compile_rule(f"lists.range(10).all(x, {condition})", LARGE, is_root=False)
    costs = []
    for count in (MANY, 2 * MANY):
        trees = {str(number): {"a": "b"} for number in range(count)}
        value = {**large(), "deep": trees, "other": {key: dict(inner) for key, inner in trees.items()}}
        budget = Budget(10**9, Visits(free=0, unmeasured=0))
        repeated.evaluate(value, value, budget, limit=10**9)
        costs.append(10**9 - budget.remaining)
    assert costs[0] > 10 * MANY
    assert 1.8 * costs[0] < costs[1] < 2.2 * costs[0]


@pytest.mark.parametrize(
    "condition",
    ["self.items.distinct().size() > 0", "sets.contains(self.strings, self.strings)", "self.set == self.set"],
)
def test_one_operation_that_compares_all_with_all_is_cancelled(condition: str) -> None:
    program = compile_rule(condition, LARGE, is_root=False)
    value = {**large(), "set": [{"a": str(number)} for number in range(20 * MANY)], "strings": ["a"] * 20 * MANY}
    value["items"] = value["set"]
    with pytest.raises(BudgetExceededError):
        program.evaluate(value)


def test_an_operation_that_costs_more_than_the_limit_does_not_begin() -> None:
    visits = Visits()
    program = compile_rule("self.items.distinct().size() > 0", LARGE, is_root=False)
    with pytest.raises(BudgetExceededError):
        program.evaluate(large(), ABSENT, Budget(visits=visits))
    assert visits.settle() == 0


def test_the_visits_of_a_budget_are_shared() -> None:
    program = compile_rule("dyn(self.deep) == dyn(self.other)", LARGE, is_root=False)
    value = large()
    budget = Budget(visits=Visits(free=4 * MANY))
    costs = []
    for _ in range(3):
        before = budget.remaining
        program.evaluate(value, ABSENT, budget)
        costs.append(before - budget.remaining)
    assert costs[0] == 6 + MANY // 10
    assert costs[1] > costs[0] + MANY
    assert costs[2] > costs[0] + 2 * MANY


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("self.deep == oldSelf.deep", 4 + 200),
        ("self.items == oldSelf.items", 4 + 200),
        ("self.numbers.size() == 2000", 4),
        ("(self.strings + self.strings).size() == 4000", 7),
    ],
)
def test_a_rule_for_an_ordinary_object_costs_what_it_costs_in_kubernetes(condition: str, expected: int) -> None:
    budget = Budget()
    compile_rule(condition, LARGE, is_root=False).evaluate(large(), large(), budget)
    assert Budget().remaining - budget.remaining == expected


def test_deep_values_that_json_text_cannot_hold_are_measured_too() -> None:
    program = compile_rule("self.all(a, self.all(b, self == oldSelf))", TREES, is_root=False)
    value = {str(number): {"a": "\ud800"} for number in range(MANY)}
    with pytest.raises(BudgetExceededError):
        program.evaluate(value, {key: dict(inner) for key, inner in value.items()})
