"""Long expressions: their meaning does not depend on how their code is split into functions."""

from typing import Any

import pytest

from kcp.cel import DYN, Budget, EvaluationError, Program, compile_expression

MAX_BYTECODE = 48 * 1024
"""Bytes of one generated function: what Python compiles in a few milliseconds while other threads wait."""


def compiled(expression: str) -> Program:
    return compile_expression(expression, {"n": DYN, "l": DYN})


def value(expression: str, **data: Any) -> Any:
    return compiled(expression).evaluate_variables({"n": 1, "l": [1, 2], **data})


@pytest.mark.parametrize(
    ("operator", "term", "last", "result"),
    [
        ("||", "n == 2", "n == 1", True),
        ("||", "n == 2", "n == 3", False),
        ("&&", "n == 1", "n == 1", True),
        ("&&", "n == 1", "n == 2", False),
        ("||", "1 / 0 == n", "n == 1", True),
        ("&&", "1 / 0 == n", "n == 2", False),
        ("||", "l.exists(e, e == 7)", "l.all(e, e < 7)", True),
    ],
)
@pytest.mark.parametrize("count", [1, 31, 32, 33, 1100])
def test_chains_of_terms(operator: str, term: str, last: str, result: bool, count: int) -> None:
    assert value(f" {operator} ".join([term] * count + [last])) is result
    assert value(f" {operator} ".join([last] + [term] * count)) is result


@pytest.mark.parametrize(("operator", "term"), [("||", "n == 2"), ("&&", "n == 1")])
def test_a_chain_fails_if_a_term_fails_and_no_other_decides(operator: str, term: str) -> None:
    with pytest.raises(EvaluationError, match="division by zero"):
        value(f" {operator} ".join([term] * 100 + ["1 / 0 == n"] + [term] * 100))


@pytest.mark.parametrize("count", [31, 32, 33, 1100])
def test_lists_and_maps(count: int) -> None:
    assert value("[" + ", ".join(f"n + {i}" for i in range(count)) + "]") == [1 + i for i in range(count)]
    optional = ", ".join(f"?optional.ofNonZeroValue(n - {i % 2})" for i in range(count))
    assert value(f"[{optional}]") == [1] * ((count + 1) // 2)
    entries = ", ".join(f"'k{i}': n + {i}" for i in range(count))
    assert value("{" + entries + "}") == {f"k{i}": 1 + i for i in range(count)}
    with pytest.raises(EvaluationError, match="repeated key"):
        value("{" + entries + ", 'k0': n + 0}")


@pytest.mark.parametrize("count", [10, 1000])
def test_the_cost_is_that_of_the_terms_and_elements(count: int) -> None:
    def cost(expression: str) -> int:
        budget = Budget(10**9)
        compiled(expression).evaluate_variables({"n": 1, "l": [1, 2]}, budget, limit=10**9)
        return 10**9 - budget.remaining

    term = cost("n == 1")
    assert cost(" && ".join(["n == 1"] * count)) == count * term
    assert cost("[" + ", ".join(["n"] * count) + "]") == 10 + count
    assert cost("{" + ", ".join(f"'{i}': n" for i in range(count)) + "}") == 30 + count


@pytest.mark.parametrize(
    "expression",
    [
        " || ".join(f"n == {i}" for i in range(5000)),
        " && ".join("l.all(e, e != 5)" for _ in range(3000)),
        " && ".join(f"(n > {i} ? n : 2) < 9" for i in range(3000)),
        "[" + ", ".join(f"n + {i}" for i in range(9000)) + "].size() > 1",
        "{" + ", ".join(f"'{i}': n" for i in range(6000)) + "}.size() > 1",
        "["
        + ", ".join("[" + ", ".join("l.map(e, e + n)" for _ in range(40)) + "]" for _ in range(100))
        + "].size() > 1",
    ],
)
def test_no_generated_function_is_long(expression: str) -> None:
    functions = compiled(expression)._function.__globals__.values()
    sizes = [len(each.__code__.co_code) for each in functions if getattr(each, "__module__", "") is None]
    assert len(sizes) > 10
    assert max(sizes) < MAX_BYTECODE
