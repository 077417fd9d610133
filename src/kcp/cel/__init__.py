"""The Common Expression Language with Kubernetes' libraries, compiled to Python functions.

Rules of schemas (``x-kubernetes-validations``)::

    program = compile_rule("self.replicas <= self.maximum", schema, is_root=True)
    program.evaluate(obj)                    # True or False; old_self for transition rules
    program.uses_old_self                    # a transition rule: evaluate it only if there is an old value
    program.estimated_cost.maximum           # multiply by schema_type(...).cardinality, compare with EXPRESSION_COST_LIMIT

Other expressions (admission policies, match conditions)::

    compile_expression("object.kind == 'Secret'", {"object": DYN}, BOOL).evaluate_variables({"object": obj})

Values are plain JSON data. Language: https://github.com/google/cel-spec; libraries:
https://kubernetes.io/docs/reference/using-api/cel/ as of Kubernetes 1.37.
"""

from kcp.cel.errors import BudgetExceededError, CelError, CompilationError, EvaluationError
from kcp.cel.programs import (
    ABSENT,
    DEFINITION_COST_LIMIT,
    EXPRESSION_COST_LIMIT,
    PER_CALL_LIMIT,
    RUNTIME_COST_BUDGET,
    Budget,
    CostEstimate,
    Program,
    compile_expression,
    compile_rule,
)
from kcp.cel.schema_types import escape, schema_type
from kcp.cel.types import BOOL, DYN, INT, STRING, SchemaType, Type, list_of, map_of

__all__ = [
    "ABSENT",
    "BOOL",
    "DEFINITION_COST_LIMIT",
    "DYN",
    "EXPRESSION_COST_LIMIT",
    "INT",
    "PER_CALL_LIMIT",
    "RUNTIME_COST_BUDGET",
    "STRING",
    "Budget",
    "BudgetExceededError",
    "CelError",
    "CompilationError",
    "CostEstimate",
    "EvaluationError",
    "Program",
    "SchemaType",
    "Type",
    "compile_expression",
    "compile_rule",
    "escape",
    "list_of",
    "map_of",
    "schema_type",
]
