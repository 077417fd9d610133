"""The CEL expressions of admission policies and match conditions: their variables, and the errors of one that does not compile.

Follows k8s.io/apiserver: variables and types of admission/plugin/cel, the authorizer of cel/library, and the messages that
validation of admissionregistration.k8s.io gives for expressions that do not compile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from kcp import cel
from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.cel.declarations import Functions, Row
from kcp.cel.types import NULL
from kcp.cel.values import Opaque

_CHECK_COST: Final = 350_000


@dataclass(frozen=True, slots=True)
class AuthorizationCheck:
    """The check that an expression requests: a verb on a path or on a resource, for the request's user or ``account``."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    account: tuple[str, str] | None = None


class AuthorizationDecision(Opaque):
    """The result of an authorization check."""

    __slots__ = ("allowed", "error", "reason")
    cel_type = "kubernetes.authorization.Decision"

    def __init__(self, allowed: bool, reason: str = "", error: str = "") -> None:
        self.allowed = allowed
        self.reason = reason
        self.error = error


class AuthorizerValue(Opaque):
    """The value of ``authorizer`` and of each builder in ``authorizer.group(...).resource(...)``: the check built so far."""

    __slots__ = ("asked", "cel_type", "decide")

    def __init__(
        self,
        decide: Callable[[AuthorizationCheck], AuthorizationDecision],
        asked: AuthorizationCheck = AuthorizationCheck(),
        step: str = "Authorizer",
    ) -> None:
        self.decide = decide
        self.asked = asked
        self.cel_type = f"kubernetes.authorization.{step}"

    def step(self, step: str, **known: Any) -> AuthorizerValue:
        """The next builder: the check with more attributes known."""
        return AuthorizerValue(self.decide, replace(self.asked, **known), step)

    def check(self, verb: str) -> AuthorizationDecision:
        """Decide the check for a verb."""
        return self.decide(replace(self.asked, verb=verb))


def _type(name: str) -> cel.Type:
    return cel.Type("object", f"kubernetes.authorization.{name}")


_AUTHORIZATION_TYPES: Final = {
    "authorizer": _type("Authorizer"),
    "pathCheck": _type("PathCheck"),
    "groupCheck": _type("GroupCheck"),
    "resourceCheck": _type("ResourceCheck"),
    "decision": _type("Decision"),
}


def _narrowing(id_: str, function: str) -> Row:
    field = {"fieldSelector": "field_selector", "labelSelector": "label_selector"}.get(function, function)
    signature = f"resourceCheck.{function}(string): resourceCheck"
    return id_, signature, lambda check, value: check.step("ResourceCheck", **{field: value})


_AUTHORIZATION: Final[list[Row]] = [
    ("authorizer_path", "authorizer.path(string): pathCheck", lambda asked, path: asked.step("PathCheck", path=path)),
    (
        "authorizer_group",
        "authorizer.group(string): groupCheck",
        lambda asked, name: asked.step("GroupCheck", group=name),
    ),
    (
        "authorizer_serviceaccount",
        "authorizer.serviceAccount(string, string): authorizer",
        lambda asked, namespace, name: asked.step("Authorizer", account=(namespace, name)),
    ),
    (
        "groupcheck_resource",
        "groupCheck.resource(string): resourceCheck",
        lambda check, name: check.step("ResourceCheck", resource=name),
    ),
    _narrowing("resourcecheck_subresource", "subresource"),
    _narrowing("resourcecheck_namespace", "namespace"),
    _narrowing("resourcecheck_name", "name"),
    _narrowing("authorizer_fieldselector", "fieldSelector"),
    _narrowing("authorizer_labelselector", "labelSelector"),
    (
        "pathcheck_check",
        "pathCheck.check(string): decision",
        lambda check, verb: check.check(verb),
        lambda *_: _CHECK_COST,
    ),
    (
        "resourcecheck_check",
        "resourceCheck.check(string): decision",
        lambda check, verb: check.check(verb),
        lambda *_: _CHECK_COST,
    ),
    ("decision_allowed", "decision.allowed(): bool", lambda decision: decision.allowed),
    ("decision_reason", "decision.reason(): string", lambda decision: decision.reason),
    ("decision_errored", "decision.errored(): bool", lambda decision: bool(decision.error)),
    ("decision_error", "decision.error(): string", lambda decision: decision.error),
]


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_TIME: Final = {"type": "string", "format": "date-time"}
_TEXT_MAP: Final = {"type": "object", "additionalProperties": _TEXT}
_KIND: Final = _object(group=_TEXT, version=_TEXT, kind=_TEXT)
_RESOURCE: Final = _object(group=_TEXT, version=_TEXT, resource=_TEXT)
_REQUEST: Final = _object(
    kind=_KIND,
    resource=_RESOURCE,
    subResource=_TEXT,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=_TEXT,
    name=_TEXT,
    namespace=_TEXT,
    operation=_TEXT,
    userInfo=_object(
        username=_TEXT,
        uid=_TEXT,
        groups=_TEXTS,
        extra={"type": "object", "additionalProperties": _TEXTS},
    ),
    dryRun={"type": "boolean"},
)
_NAMESPACE: Final = _object(
    metadata=_object(
        name=_TEXT,
        generateName=_TEXT,
        namespace=_TEXT,
        labels=_TEXT_MAP,
        annotations=_TEXT_MAP,
        UID=_TEXT,
        creationTimestamp=_TIME,
        deletionGracePeriodSeconds={"type": "integer"},
        deletionTimestamp=_TIME,
        generation={"type": "integer"},
        resourceVersion=_TEXT,
        finalizers=_TEXTS,
    ),
    spec=_object(finalizers=_TEXTS),
    status=_object(
        conditions={
            "type": "array",
            "items": _object(status=_TEXT, type=_TEXT, lastTransitionTime=_TIME, message=_TEXT, reason=_TEXT),
        },
        phase=_TEXT,
    ),
)


@cache
def _library() -> Functions:
    from kcp.cel.libraries import functions  # loads the CEL compiler

    return functions().extended(_AUTHORIZATION, _AUTHORIZATION_TYPES)


@cache
def _always() -> Mapping[str, cel.Type | cel.SchemaType]:
    """The variables of every expression of admission."""
    request = cel.schema_type(_REQUEST, is_root=False, name="kubernetes.AdmissionRequest")
    namespace = cel.schema_type(_NAMESPACE, is_root=False, name="kubernetes.Namespace")
    assert request is not None
    assert namespace is not None
    request.fields["options"] = ("options", cel.SchemaType(cel.DYN, min_serialized_size=1))
    return {"object": cel.DYN, "oldObject": cel.DYN, "request": request, "namespaceObject": namespace}


_ABOUT_AUTHORIZER: Final = {
    "authorizer": _AUTHORIZATION_TYPES["authorizer"],
    "authorizer.requestResource": _AUTHORIZATION_TYPES["resourceCheck"],
}


class ExpressionEnvironment:
    """The variables of the expressions of one policy or webhook. ``params``: the policy has a paramKind."""

    def __init__(self, *, params: bool = False) -> None:
        self._declared: dict[str, cel.Type | cel.SchemaType] = dict(_always())
        if params:
            self._declared["params"] = cel.DYN
        self._variables: cel.SchemaType | None = None

    def condition_errors(self, expression: str, path: str) -> Iterator[FieldError]:
        """The errors of a boolean expression."""
        yield from self._errors(expression, path, (cel.BOOL,))

    def message_errors(self, expression: str, path: str) -> Iterator[FieldError]:
        """The errors of a messageExpression, which may not use the authorizer."""
        yield from self._errors(expression, path, (cel.STRING,), authorizer=False)

    def annotation_errors(self, expression: str, path: str) -> Iterator[FieldError]:
        """The errors of an audit annotation's valueExpression."""
        yield from self._errors(expression, path, (cel.STRING, NULL))

    def declare(self, name: str, expression: str, path: str) -> Iterator[FieldError]:
        """The errors of a variable's expression. Without errors, declare ``variables.<name>`` for the expressions after it."""
        if self._variables is None:
            type_ = cel.Type("object", "kubernetes.variables")
            type_.schema = self._declared["variables"] = self._variables = cel.SchemaType(type_, min_serialized_size=2)
        try:
            found = self.compile(expression, authorizer=True).result_type
        except cel.CompilationError as problem:
            yield field_errors.invalid(path, expression, _described(problem))
            return
        self._variables.fields[name] = (name, found.schema or cel.SchemaType(found, min_serialized_size=1))

    def _errors(
        self, expression: str, path: str, results: tuple[cel.Type, ...], *, authorizer: bool = True
    ) -> Iterator[FieldError]:
        try:
            program = self.compile(expression, authorizer=authorizer)
        except cel.CompilationError as problem:
            yield field_errors.invalid(path, expression, _described(problem))
            return
        if program.result_type not in results:
            names = ["null_type" if result == NULL else str(result) for result in results]
            wanted = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
            yield field_errors.invalid(path, expression, f"must evaluate to {wanted}")

    def compile(self, expression: str, *, authorizer: bool = True) -> cel.Program:
        """The program of an expression. Raises CompilationError."""
        declared = {**self._declared, **_ABOUT_AUTHORIZER} if authorizer else self._declared
        return cel.compile_expression(expression, declared, library=_library())


def _described(problem: cel.CompilationError) -> str:
    return f"compilation failed: {problem}"
