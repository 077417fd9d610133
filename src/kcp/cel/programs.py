"""Compilation of expressions to `Program` objects, and their evaluation within cost limits."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from kcp.cel import types
from kcp.cel.errors import BudgetExceededError, CompilationError, EvaluationError
from kcp.cel.limits import Visits
from kcp.cel.schema_types import schema_type
from kcp.cel.types import SchemaType, Type
from kcp.cel.values import NONE, Optional

if TYPE_CHECKING:
    from kcp.cel.declarations import Functions
    from kcp.cel.type_checker import Variable

PER_CALL_LIMIT: Final = 1_000_000
RUNTIME_COST_BUDGET: Final = 10_000_000
EXPRESSION_COST_LIMIT: Final = 10_000_000
DEFINITION_COST_LIMIT: Final = 100_000_000
_UNLIMITED: Final = 2**63


class _Absent:
    def __repr__(self) -> str:
        return "<absent>"


ABSENT: Final = _Absent()


class Budget:
    """The cost budget that all evaluations for one object share."""

    __slots__ = ("remaining", "visits")

    def __init__(self, limit: int = RUNTIME_COST_BUDGET, visits: Visits | None = None) -> None:
        self.remaining = limit
        self.visits = Visits() if visits is None else visits

    def spend(self, cost: int) -> None:
        """Subtract the cost of one evaluation. Raises BudgetExceededError when the budget is exhausted."""
        self.remaining -= cost
        if self.remaining < 0:
            raise BudgetExceededError(per_call=False)


class CostEstimate(NamedTuple):
    """The estimated minimum and maximum cost of one evaluation (cel-go's checker.CostEstimate)."""

    minimum: int
    maximum: int


class Program:
    """A compiled expression, made by `compile_rule` or `compile_expression`."""

    __slots__ = (
        "_calls",
        "_function",
        "_optional_old_self",
        "_parameters",
        "estimated_cost",
        "result_type",
        "uses_old_self",
        "variables",
    )

    def __init__(
        self,
        function: Callable[..., tuple[Any, int]],
        parameters: Sequence[str],
        used: set[str],
        result_type: Type,
        estimated_cost: CostEstimate,
        *,
        optional_old_self: bool = False,
        calls: bool = True,
    ) -> None:
        self._function = function
        self._calls = calls
        self._parameters = tuple(parameters)
        self._optional_old_self = optional_old_self
        self.variables = frozenset(used)
        self.uses_old_self = "oldSelf" in used
        self.result_type = result_type
        self.estimated_cost = estimated_cost

    def evaluate(
        self, self_value: Any, old_self: Any = ABSENT, budget: Budget | None = None, *, limit: int = PER_CALL_LIMIT
    ) -> Any:
        """Evaluate a rule for a value and, if there is one, the old value. The caller must not modify the result.

        Raises EvaluationError, and BudgetExceededError when the evaluation costs more than `limit` or exhausts the budget.
        """
        if self._optional_old_self:
            old_self = NONE if old_self is ABSENT else Optional(present=True, value=old_self)
        return self._run(budget, limit, self_value, old_self)

    def evaluate_variables(
        self, values: Mapping[str, Any], budget: Budget | None = None, *, limit: int = PER_CALL_LIMIT
    ) -> Any:
        """Evaluate an expression for values of its variables. Raises as `evaluate` does."""
        arguments = [values[name] if name in self.variables else None for name in self._parameters]
        return self._run(budget, limit, *arguments)

    def _run(self, budget: Budget | None, limit: int, *arguments: Any) -> Any:
        if self._calls:
            return self._run_counted(Budget(_UNLIMITED) if budget is None else budget, limit, arguments)
        try:
            value, cost = self._function(limit, *arguments)
        except EvaluationError as error:
            if budget is not None:
                budget.spend(error.cost)
            raise
        if budget is not None:
            budget.spend(cost)
        return value

    def _run_counted(self, budget: Budget, limit: int, arguments: tuple[Any, ...]) -> Any:
        """Evaluate, and charge for the visits of the functions that are called."""
        visits = budget.visits
        visits.begin(limit)
        try:
            value, cost = self._function(limit, *arguments)
        except EvaluationError as error:
            budget.spend(error.cost + visits.settle())
            raise
        cost += visits.settle()
        if cost > limit:
            raise BudgetExceededError(per_call=True)
        budget.spend(cost)
        return value


def compile_rule(
    expression: str,
    schema: Mapping[str, Any] | SchemaType,
    *,
    is_root: bool,
    optional_old_self: bool = False,
    result: Literal["bool", "string"] = "bool",
) -> Program:
    """Compile a validation rule, or with `result` "string" a message expression, of a node of a structural schema.

    `schema` is the node, as a dict or as the result of `schema_type`, which the rules of one node share. `is_root` is true for
    the root of a resource or of an embedded resource. The variables are ``self`` and ``oldSelf``; with `optional_old_self`, the
    latter is an optional value. Raises CompilationError.
    """
    try:
        node = schema if isinstance(schema, SchemaType) else schema_type(schema, is_root=is_root)
    except RecursionError:
        raise CompilationError("schema nests too deep for CEL validation rules") from None
    if node is None:
        message = "failed to convert to declType for CEL validation rules"
        raise CompilationError(message)
    old: Variable = (types.optional_of(node.type), None) if optional_old_self else (node.type, node)
    variables: dict[str, Variable] = {"self": (node.type, node), "oldSelf": old}
    return _compile(expression, variables, result, optional_old_self=optional_old_self)


def compile_expression(
    text: str,
    declarations: Mapping[str, Type | SchemaType],
    result_type: Type | None = None,
    *,
    library: "Functions | None" = None,
) -> Program:
    """Compile an expression over variables, each declared with a type or a schema. Raises CompilationError.

    `library` replaces the default functions; ``functions().extended(rows, types)`` of `kcp.cel.libraries` adds functions to them.
    """
    variables: dict[str, Variable] = {
        name: (declared.type, declared) if isinstance(declared, SchemaType) else (declared, None)
        for name, declared in declarations.items()
    }
    return _compile(text, variables, "" if result_type is None else str(result_type), library=library)


_RESULT_TYPE_ERRORS: Final = {
    "bool": "cel expression must evaluate to a bool",
    "string": "messageExpression must evaluate to a string",
}


def _compile(
    expression: str,
    variables: dict[str, "Variable"],
    result: str,
    *,
    optional_old_self: bool = False,
    library: "Functions | None" = None,
) -> Program:
    # Import the compiler with the first expression: a server without rules starts faster and smaller.
    from kcp.cel.code_generator import generate
    from kcp.cel.cost_estimates import estimate
    from kcp.cel.libraries import functions
    from kcp.cel.parser import parse, too_deep
    from kcp.cel.type_checker import check

    tree = parse(expression)
    try:
        used = check(expression, tree, variables, library or functions())
        if result and str(tree.type) != result:
            raise CompilationError(_RESULT_TYPE_ERRORS.get(result, f"must evaluate to {result}"))
        minimum, maximum = estimate(tree, variables["self"][1] if "self" in variables else None)
        function, calls = generate(tree, list(variables))
    except (RecursionError, MemoryError):
        raise too_deep() from None
    return Program(
        function,
        list(variables),
        used,
        tree.type,
        CostEstimate(minimum, maximum),
        optional_old_self=optional_old_self,
        calls=calls,
    )
