"""The match conditions of a webhook: CEL expressions over the ``spec`` of a SubjectAccessReview, as ``request``.

Follows k8s.io/apiserver's ``pkg/authorization/cel``: the webhook is asked only where all conditions hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kcp.cel import BOOL, CelError, CompilationError, Program, compile_expression, schema_type

_STRING: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _STRING}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_SELECTOR: Final = _object(
    rawSelector=_STRING,
    requirements={"type": "array", "items": _object(key=_STRING, operator=_STRING, values=_TEXTS)},
)
_REQUEST: Final = _object(
    resourceAttributes=_object(
        namespace=_STRING,
        verb=_STRING,
        group=_STRING,
        version=_STRING,
        resource=_STRING,
        subresource=_STRING,
        name=_STRING,
        fieldSelector=_SELECTOR,
        labelSelector=_SELECTOR,
    ),
    nonResourceAttributes=_object(path=_STRING, verb=_STRING),
    user=_STRING,
    groups=_TEXTS,
    extra={"type": "object", "additionalProperties": _TEXTS},
    uid=_STRING,
)
_EMPTY: Final = {"user": "", "groups": [], "uid": "", "extra": {}}
_EMPTY_RESOURCE: Final = dict.fromkeys(("namespace", "verb", "group", "version", "resource", "subresource", "name"), "")
"""What a Go struct has where nothing is set: an expression may read it without asking whether it is there."""


class ConditionError(ValueError):
    """An expression that cannot be used."""


class ConditionFailedError(Exception):
    """A condition could not be evaluated, and no other one excludes the request."""


def compile_condition(expression: str) -> Program:
    """Compile a condition. Raises ConditionError."""
    declared = schema_type(_REQUEST, is_root=False, name="kubernetes.SubjectAccessReviewSpec")
    assert declared is not None
    try:
        program = compile_expression(expression, {"request": declared})
    except CompilationError as error:
        raise ConditionError(f"compilation failed: {error}") from error
    if program.result_type != BOOL:
        raise ConditionError(f"must evaluate to bool but got {program.result_type}")
    return program


class MatchConditions:
    """The conditions of one webhook."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = tuple(programs)

    def match(self, spec: dict[str, Any]) -> bool:
        """Whether all conditions hold. Raises ConditionFailedError."""
        if not self._programs:
            return True
        request = {**_EMPTY, **spec}
        if "resourceAttributes" in request:
            request["resourceAttributes"] = {**_EMPTY_RESOURCE, **request["resourceAttributes"]}
        failures = []
        for program in self._programs:
            try:
                if program.evaluate_variables({"request": request}) is not True:
                    return False
            except CelError as error:
                failures.append(str(error))
        if failures:
            raise ConditionFailedError("; ".join(failures))
        return True
