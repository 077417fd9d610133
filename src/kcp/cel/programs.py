"""Compiled expressions: from text to a `Program`, and its evaluation within cost limits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from kcp.cel import types
from kcp.cel.errors import BudgetExceededError, CompilationError, EvaluationError
from kcp.cel.schema_types import SchemaType, schema_type
from kcp.cel.types import Type
from kcp.cel.values import NONE, Optional

if TYPE_CHECKING:
    from kcp.cel.checker import Variable
    from kcp.cel.declarations import Functions

PER_CALL_LIMIT: Final = 1_000_000
RUNTIME_COST_BUDGET: Final = 10_000_000
MATCH_CONDITIONS_COST_BUDGET: Final = 2_500_000
EXPRESSION_COST_LIMIT: Final = 10_000_000
DEFINITION_COST_LIMIT: Final = 100_000_000


class _Absent:
    def __repr__(self) -> str:
        return "<absent>"


ABSENT: Final = _Absent()


class Budget:
    """What all evaluations for one object together may still cost."""

    __slots__ = ("remaining",)

    def __init__(self, limit: int = RUNTIME_COST_BUDGET) -> None:
        self.remaining = limit

    def spend(self, cost: int) -> None:
        """Take the cost of one evaluation off. Raises BudgetExceededError when there was less left."""
        self.remaining -= cost
        if self.remaining < 0:
            raise BudgetExceededError(per_call=False)


@dataclass(frozen=True, slots=True)
class Cost:
    """The least and the most that an evaluation can cost, by what the schema says of sizes."""

    minimum: int
    maximum: int


class Program:
    """A compiled expression; made by `compile_rule` and `compile_expression`."""

    __slots__ = (
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
        estimated_cost: Cost,
        *,
        optional_old_self: bool = False,
    ) -> None:
        self._function = function
        self._parameters = tuple(parameters)
        self._optional_old_self = optional_old_self
        self.variables = frozenset(used)
        self.uses_old_self = "oldSelf" in used
        self.result_type = result_type
        self.estimated_cost = estimated_cost

    def evaluate(
        self, self_value: Any, old_self: Any = ABSENT, budget: Budget | None = None, *, limit: int = PER_CALL_LIMIT
    ) -> Any:
        """The value of a rule for an object, or part of one, and what was there before; not to be changed by the caller.

        Raises EvaluationError, and BudgetExceededError when one evaluation costs more than `limit` or more than is left of
        the budget.
        """
        if self._optional_old_self:
            old_self = NONE if old_self is ABSENT else Optional(present=True, value=old_self)
        return self._run(budget, limit, self_value, old_self)

    def evaluate_variables(
        self, values: Mapping[str, Any], budget: Budget | None = None, *, limit: int = PER_CALL_LIMIT
    ) -> Any:
        """The value of a general expression for values of its variables. Raises as `evaluate` does."""
        arguments = [values[name] if name in self.variables else None for name in self._parameters]
        return self._run(budget, limit, *arguments)

    def _run(self, budget: Budget | None, limit: int, *arguments: Any) -> Any:
        try:
            value, cost = self._function(limit, *arguments)
        except EvaluationError as error:
            if budget is not None:
                budget.spend(error.cost)
            raise
        if budget is not None:
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

    `schema` is that node, as a dict or as `schema_type` made it (to share the work between the rules of one node); `is_root`
    says that it is the root of a resource, or an embedded one. The program's variables are ``self`` and ``oldSelf``, an
    optional with `optional_old_self`. Raises CompilationError.
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
    """Compile an expression over these variables, each declared with a type or a schema. Raises CompilationError.

    `library` is what may be called instead of the usual functions: ``functions().extended(rows, types)`` of
    `kcp.cel.libraries` adds some, such as an authorizer's.
    """
    variables: dict[str, Variable] = {
        name: (declared.type, declared) if isinstance(declared, SchemaType) else (declared, None)
        for name, declared in declarations.items()
    }
    return _compile(text, variables, "" if result_type is None else str(result_type), library=library)


_WORDING: Final = {
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
    # The compiler comes with the first expression, not with the import: a server without rules starts without it.
    from kcp.cel.checker import check
    from kcp.cel.codegen import generate
    from kcp.cel.costs import estimate
    from kcp.cel.libraries import functions
    from kcp.cel.parser import parse, too_deep

    tree = parse(expression)
    try:
        used = check(expression, tree, variables, library or functions())
        if result and str(tree.type) != result:
            raise CompilationError(_WORDING.get(result, f"must evaluate to {result}"))
        minimum, maximum = estimate(tree, variables["self"][1] if "self" in variables else None)
        function = generate(tree, list(variables))
    except (RecursionError, MemoryError):
        raise too_deep() from None
    return Program(
        function, list(variables), used, tree.type, Cost(minimum, maximum), optional_old_self=optional_old_self
    )
