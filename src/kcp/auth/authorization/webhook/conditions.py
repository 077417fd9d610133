"""The match conditions of a webhook: CEL expressions over the ``spec`` of a SubjectAccessReview, as ``request``.

Follows k8s.io/apiserver's ``pkg/authorization/cel``: the webhook is asked only where all conditions hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kcp.cel import BOOL, CelError, CompilationError, Program, compile_expression, schema_type
from kcp.schema.configuration_files import STRING, list_of, object_of

_TEXTS: Final = list_of(STRING)
_SELECTOR: Final = object_of(
    rawSelector=STRING,
    requirements=list_of(object_of(key=STRING, operator=STRING, values=_TEXTS)),
)
_REQUEST: Final = object_of(
    resourceAttributes=object_of(
        namespace=STRING,
        verb=STRING,
        group=STRING,
        version=STRING,
        resource=STRING,
        subresource=STRING,
        name=STRING,
        fieldSelector=_SELECTOR,
        labelSelector=_SELECTOR,
    ),
    nonResourceAttributes=object_of(path=STRING, verb=STRING),
    user=STRING,
    groups=_TEXTS,
    extra={"type": "object", "additionalProperties": _TEXTS},
    uid=STRING,
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
