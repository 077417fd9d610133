"""Confidential fields: no refusal and no warning shows what is in them.

A message about a Secret says which field is wrong and not what it contains. Most messages are worded that way where they are
made; `redacting` is the safety net, since a patch may copy a value to where a message shows it (a name, a label).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson

from kcp.api import errors
from kcp.registry.contexts import RequestContext
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.large_work import in_thread

REDACTED: Final = "<secret contents redacted>"
"""What kube-apiserver writes in place of a value."""
_WITHHELD: Final = "the request is refused; the reason is withheld, since it may contain values of the object"
_SHORTEST: Final = 4
"""Characters from which on a value is looked for: shorter ones are in every message."""
_RECOGNIZED_BY: Final = 16
"""Characters by which a value is found in a message that shows the start of it."""
_MOST_VALUES: Final = 1_000
_MARK: Final = "\0"
"""Stands for a redacted value until all are found: one may be a part of ``REDACTED``."""
_QUOTED: Final = re.compile(r"""`[^`]*`|'[^']*'|"[^"]*\"""")


@asynccontextmanager
async def redacting(context: RequestContext, type_: ResourceType, *sources: Any) -> AsyncIterator[None]:
    """Redact the confidential values of ``sources`` in the StatusErrors and warnings of the block.

    A source is an object or a patch, or a function that gives one when the block has ended. The type has confidential fields.
    """
    try:
        yield
    except Exception as error:
        await in_thread(_redact, error, context.warnings, sources, type_)
        raise
    if context.warnings:
        await in_thread(_redact, None, context.warnings, sources, type_)


def _redact(error: Exception | None, warnings: list[str], sources: Iterable[Any], type_: ResourceType) -> None:
    values = _values_of(sources, type_)
    if isinstance(error, errors.StatusError):
        _redact_error(error, values)
    warnings[:] = [_redacted(warning, values) for warning in warnings]


def quote_nothing(error: errors.StatusError, type_: ResourceType) -> None:
    """Redact what an error about a body of a confidential type quotes: parts of the body, where it cannot be parsed."""
    if type_.strategy.confidential:
        error.message = _QUOTED.sub(REDACTED, error.message)
        error.args = (error.message,)


def _redact_error(error: errors.StatusError, values: list[str] | None) -> None:
    error.message = _redacted(error.message, values)
    error.args = (error.message,)
    if isinstance(error, errors.UndecodableError):
        error.why = _redacted(error.why, values)
    for cause in (error.details or {}).get("causes") or ():
        cause["message"] = _redacted(cause.get("message", ""), values)


def _redacted(message: str, values: list[str] | None) -> str:
    if values is None:
        return _WITHHELD
    for value in values:
        at = message.find(value[:_RECOGNIZED_BY])
        if at >= 0:  # a message may show the start of a long value only
            message = message.replace(value, _MARK) if value in message else message[:at] + _MARK
    return message.replace(_MARK, REDACTED)


def _values_of(sources: Iterable[Any], type_: ResourceType) -> list[str] | None:
    """The texts of confidential values, as stored, decoded and JSON-escaped, the longest first; None when there are too many."""
    found: dict[str, None] = {}
    for source in sources:
        source = source() if callable(source) else source
        for part in _confidential_parts(source, type_.strategy.confidential):
            for text in _texts(part):
                if len(text) < _SHORTEST or text in found:
                    continue
                for form in (text, *_decoded(text)):
                    for written in (form, orjson.dumps(form).decode()[1:-1]):
                        if len(written) >= _SHORTEST:
                            found[written] = None
                if len(found) > _MOST_VALUES:
                    return None
    return sorted(found, key=len, reverse=True)


def _confidential_parts(source: Any, fields: frozenset[str]) -> Iterator[Any]:
    if isinstance(source, list):  # a JSON patch
        yield from (operation.get("value") for operation in source if isinstance(operation, dict))
    elif isinstance(source, dict):
        yield from (source[field] for field in fields if field in source)


def _texts(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            pending += part.values()
        elif isinstance(part, list):
            pending += part
        elif isinstance(part, str):
            yield part
        elif part is not None and not isinstance(part, bool):
            yield str(part)


def _decoded(text: str) -> tuple[str, ...]:
    try:
        return (base64.b64decode(text, validate=True).decode(),)
    except (binascii.Error, ValueError):
        return ()


_BASE64: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def base64_problem(text: str) -> str:
    """Go's message about a string that is not base64: the place of the fault, and nothing of the string."""
    at, quantum = 0, 0
    digits = 0
    for at, character in enumerate(text):
        if character in "\r\n":
            continue
        if character not in _BASE64:
            break
        if digits % 4 == 0:
            quantum = at
        digits += 1
    else:
        at = quantum
    return f"illegal base64 data at input byte {len(text[:at].encode(errors='surrogatepass'))}"
