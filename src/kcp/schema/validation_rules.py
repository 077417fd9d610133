"""``x-kubernetes-validations``: compilation and evaluation of the CEL rules of a schema (KEP-2876).

Follows apiextensions-apiserver's schema/cel: rules run on present values; transition rules (those that use ``oldSelf``) run only
if there is an old value; all rules for one object share a cost budget; an update does not fail a rule on an unchanged value
(validation ratcheting, KEP-4008).
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kcp import cel
from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.schema import field_paths
from kcp.schema.correlation import Correlation
from kcp.schema.error_limits import MAX_ERRORS, NO_PATH
from kcp.schema.nodes import SchemaNode
from kcp.schema.raw_schemas import Raw, children, flag, objects, subschemas, text

KEYWORD: Final = "x-kubernetes-validations"
MAX_MESSAGE_BYTES: Final = 5 * 1024
_OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"
_BLOCKING: Final = frozenset(
    {
        field_errors.NOT_SUPPORTED,
        field_errors.REQUIRED,
        field_errors.TOO_LONG,
        field_errors.TOO_MANY,
        field_errors.TYPE_INVALID,
    }
)


@dataclass(slots=True)
class ValidationRule:
    """A rule with its compiled programs or its compilation errors."""

    raw: dict[str, Any]
    program: cel.Program | None = None
    problem: str = ""
    message_program: cel.Program | None = None
    message_problem: str = ""
    field_path: str = ""
    cardinality: int = 0

    @property
    def shown(self) -> str:
        """The rule as error messages show it."""
        return text(self.raw, "message").strip() or text(self.raw, "rule").strip()

    @property
    def default_message(self) -> str:
        """The message of a failed rule without a message expression."""
        return text(self.raw, "message").strip() or f"failed rule: {self.shown}"


def rules_of(node: SchemaNode) -> list[ValidationRule]:
    """The compiled rules of a node, without those of its children."""
    if node.rules is None:
        node.rules = _compile(node)
    rules: list[ValidationRule] = node.rules
    return rules


def _compile(node: SchemaNode) -> list[ValidationRule]:
    raws = objects(node.raw.get(KEYWORD))
    if not raws:
        return []
    is_root = node.is_root or node.embedded
    type_ = cel.schema_type(node.raw, is_root=is_root)
    if type_ is None:
        why = "failed to convert to declType for CEL validation rules"
        return [ValidationRule(raw, problem=why, message_problem="") for raw in raws]
    return [_compile_rule(raw, node, type_, is_root=is_root) for raw in raws]


def _compile_rule(raw: dict[str, Any], node: SchemaNode, type_: cel.SchemaType, *, is_root: bool) -> ValidationRule:
    rule = ValidationRule(raw, cardinality=type_.cardinality)
    optional = flag(raw, "optionalOldSelf")
    expression = text(raw, "rule")
    if not expression.strip():
        return rule
    try:
        rule.program = cel.compile_rule(expression, type_, is_root=is_root, optional_old_self=optional)
    except cel.CompilationError as problem:
        rule.problem = _described(problem, "compilation failed: ")
        return rule
    message = text(raw, "messageExpression")
    if message:
        try:
            rule.message_program = cel.compile_rule(
                message, type_, is_root=is_root, optional_old_self=optional, result="string"
            )
        except cel.CompilationError as problem:
            rule.message_problem = _described(problem, "messageExpression compilation failed: ")
    path = text(raw, "fieldPath")
    if path:
        try:
            rule.field_path = field_paths.resolve(path, node.raw)[0]
        except ValueError:
            rule.field_path = ""
    return rule


def _described(problem: cel.CompilationError, prefix: str) -> str:
    return f"{prefix}{problem}" if problem.line else str(problem)


def rule_errors(
    root: SchemaNode,
    obj: Any,
    old: Any,
    correlation: Correlation | None,
    found: Sequence[FieldError],
    warnings: list[str] | None = None,
) -> list[FieldError]:
    """Run all rules on an object; some kinds of other errors (``found``) prevent that.

    The errors of unchanged values go to ``warnings``.
    """
    if any(error.type in _BLOCKING for error in found):
        why = (
            "some validation rules were not checked because the object was invalid; "
            "correct the existing errors to complete validation"
        )
        return [field_errors.invalid(NO_PATH, None, why)]
    run = _Run(warnings if warnings is not None else [])
    with contextlib.suppress(_StopError):
        run.visit(root, obj, old, "", _Ratchet(correlation, None))
    return run.errors


class _StopError(Exception):
    """Stops the evaluation of rules for the object."""


@dataclass(slots=True)
class _Ratchet:
    """Validation ratcheting: the correlation of a value, or of its nearest correlated ancestor."""

    current: Correlation | None
    parent: Correlation | None

    @property
    def forgives(self) -> bool:
        decisive = self.current if self.current is not None else self.parent
        return decisive is not None and decisive.unchanged

    def key(self, name: str) -> "_Ratchet":
        if self.current is None:
            return self
        if self.parent is None and name in ("apiVersion", "kind"):
            return _Ratchet(None, None)
        return _Ratchet(self.current.key(name), self.current)

    def index(self, index: int) -> "_Ratchet":
        return self if self.current is None else _Ratchet(self.current.index(index), self.current)


class _Run:
    """Evaluation of all rules for one object."""

    def __init__(self, warnings: list[str]) -> None:
        self.errors: list[FieldError] = []
        self._warnings = warnings
        self.budget = cel.Budget(cel.RUNTIME_COST_BUDGET)

    def visit(self, node: SchemaNode, value: Any, old: Any, path: str, ratchet: _Ratchet) -> None:
        if value is None or not has_rules(node):
            return
        for rule in rules_of(node):
            self._apply(rule, node, value, old, path, ratchet)
        if type(value) is dict:
            self._visit_map(node, value, old if type(old) is dict else {}, path, ratchet)
        elif type(value) is list and node.items is not None and has_rules(node.items):
            items = Correlation(value, old, node)
            for index, child in enumerate(value):
                before = items.index(index) if type(old) is list else None
                below = f"{path}[{index}]"
                self.visit(node.items, child, before.old if before else None, below, ratchet.index(index))

    def _visit_map(
        self, node: SchemaNode, value: dict[str, Any], old: dict[str, Any], path: str, ratchet: _Ratchet
    ) -> None:
        for key, child in value.items():
            if key in node.property_schemas:
                below = f"{path}.{key}" if path else key
                self.visit(node.property(key), child, old.get(key), below, ratchet.key(key))
            elif node.additional is not None:
                self.visit(node.additional, child, old.get(key), f"{path}[{key}]", ratchet.key(key))

    def _apply(
        self, rule: ValidationRule, node: SchemaNode, value: Any, old: Any, path: str, ratchet: _Ratchet
    ) -> None:
        where = path or NO_PATH
        kind = text(node.raw, "type")
        if len(self.errors) > MAX_ERRORS:
            raise _StopError
        if self.budget.remaining <= 0:
            self._stop(field_errors.invalid(where, kind, _OUT_OF_BUDGET))
        if rule.program is None:
            if rule.problem:
                self.errors.append(field_errors.invalid(where, kind, f"rule compile error: {rule.problem}"))
            return
        transition = rule.program.uses_old_self
        if transition and old is None and not flag(rule.raw, "optionalOldSelf"):
            return
        before = cel.ABSENT if old is None else old
        try:
            if rule.program.evaluate(value, before, self.budget) is True:
                return
        except cel.BudgetExceededError as problem:
            why = _OUT_OF_BUDGET
            if problem.per_call:
                why = (
                    f"'{problem}': no further validation rules will be run "
                    f"due to call cost exceeds limit for rule: {rule.shown}"
                )
            self._stop(field_errors.invalid(where, kind, why))
        except cel.EvaluationError as problem:
            error = field_errors.invalid(where, kind, _evaluation_problem(problem, rule))
            self._add(error, forgiven=not transition and ratchet.forgives)
            return
        below = rule.field_path
        if below:
            where = below if not path else path + ("" if below.startswith("[") else ".") + below
        message = self._message(rule, value, before, where, kind)
        self._add(_failure(rule, where, value, message), forgiven=not transition and ratchet.forgives)

    def _add(self, error: FieldError, *, forgiven: bool) -> None:
        if not forgiven:
            self.errors.append(error)
        elif len(self._warnings) < MAX_ERRORS:
            self._warnings.append(str(error))

    def _message(self, rule: ValidationRule, value: Any, before: Any, where: str, kind: str) -> str:
        if rule.message_program is None:
            return rule.default_message
        try:
            message = rule.message_program.evaluate(value, before, self.budget)
        except cel.BudgetExceededError as problem:
            why = (
                "messageExpression evaluation failed due to running out of cost budget, "
                "no further validation rules will be run"
            )
            if problem.per_call:
                expression = text(rule.raw, "messageExpression")
                why = (
                    "no further validation rules will be run due to call cost exceeds limit "
                    f'for messageExpression: "{expression}"'
                )
            self._stop(field_errors.invalid(where, kind, why))
        except cel.EvaluationError:
            return rule.default_message
        trimmed = message.strip() if isinstance(message, str) else ""
        if not trimmed or "\n" in trimmed or len(trimmed.encode()) > MAX_MESSAGE_BYTES:
            return rule.default_message
        return trimmed

    def _stop(self, error: FieldError) -> None:
        self.errors.append(error)
        raise _StopError


def _evaluation_problem(problem: cel.EvaluationError, rule: ValidationRule) -> str:
    if str(problem).startswith("no such overload"):
        return (
            f"'{problem}': call arguments did not match a supported operator, function or macro signature "
            f"for rule: {rule.shown}"
        )
    return f"{problem} evaluating rule: {rule.shown}"


def _failure(rule: ValidationRule, where: str, value: Any, message: str) -> FieldError:
    shown = field_errors.ABSENT if type(value) in (dict, list) else value
    reason = text(rule.raw, "reason")
    if reason == field_errors.FORBIDDEN:
        return field_errors.forbidden(where, message)
    if reason == field_errors.REQUIRED:
        return field_errors.required(where, message)
    if reason == field_errors.DUPLICATE:
        return FieldError(field_errors.DUPLICATE, where, shown)
    return FieldError(field_errors.INVALID, where, shown, message)


def has_rules(node: SchemaNode) -> bool:
    """Whether a node or any node below it has rules. Computed once for all nodes of the schema."""
    if node.has_rules is None:
        scope = node.scope
        if scope.with_rules is None:
            scope.definitions_have_rules = any(map(mentions_rules, scope.definitions.values()))
            scope.with_rules = schemas_with_rules(node.raw)  # set last: another thread reads both once it is there
        known = scope.with_rules.get(id(node.raw))
        node.has_rules = scope.definitions_have_rules or (mentions_rules(node.raw) if known is None else known)
    return node.has_rules


def mentions_rules(raw: Raw) -> bool:
    """Whether a raw schema contains rules, references aside."""
    return any(each.get(KEYWORD) for each in subschemas(raw))


def schemas_with_rules(raw: Raw) -> dict[int, bool]:
    """For the id() of a schema and of each schema inside it, whether it contains rules, references aside."""
    visited: list[tuple[Raw, Raw | None]] = []
    pending: list[tuple[Raw, Raw | None]] = [(raw, None)]
    while pending:
        entry = pending.pop()
        visited.append(entry)
        pending += [(child, entry[0]) for child in children(entry[0])]
    found: dict[int, bool] = {}
    for each, parent in reversed(visited):
        has = found.setdefault(id(each), False) or bool(each.get(KEYWORD))
        found[id(each)] = has
        if has and parent is not None:
            found[id(parent)] = True
    return found
