"""Actual costs of evaluation, and its cancellation at the limit. The figures are those of Kubernetes' API server."""

from typing import Any

import pytest

from kcp.cel import ABSENT, DYN, Budget, BudgetExceededError, EvaluationError, compile_expression, compile_rule

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
