"""Query strings, and the request options in them (meta/v1 ListOptions, CreateOptions, PatchOptions, DeleteOptions).

Values are parsed as by Kubernetes' conversion from query parameters: the first of a repeated parameter counts; a boolean is
false for ``false`` in any case and ``0``, and true for every other value, including the empty one.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs

from kcp.api import errors, field_errors
from kcp.api.kinds import GroupKind
from kcp.api.metadata import validate_field_manager
from kcp.api.selectors import parse_field_selector, parse_label_selector
from kcp.registry.contexts import IGNORE, STRICT, WARN
from kcp.registry.requests import IGNORE_READ_ERROR, DeleteOptions, ListOptions

_MAX_PARAMETERS: Final = 500
_EXACT_NAME: Final = re.compile(r"(?:^|,)metadata\.name==?([^,=!\\]+)(?:,|$)")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_MANAGER_LENGTH: Final = 128
_INT64: Final = 2**63
_ALL: Final = "All"


class Query(dict[str, list[str]]):
    """The parameters of a request: the values of each."""

    __slots__ = ()

    def __init__(self, text: bytes) -> None:
        """Raises StatusError 400 for over 500 parameters, and for text that is not UTF-8."""
        if text:
            try:
                values = parse_qs(
                    text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
                )
            except ValueError as error:
                raise errors.bad_request(f"the query cannot be read: {error}") from error
            self.update(values)

    def text(self, name: str) -> str:
        """Return a parameter's first value; empty when it is missing."""
        values = self.get(name)
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        """Return all values of a parameter."""
        return self.get(name, [])

    def flag(self, name: str) -> bool:
        """Return a boolean parameter; false when it is missing."""
        values = self.get(name)
        return values is not None and values[0].lower() not in ("false", "0")

    def optional_flag(self, name: str) -> bool | None:
        """Return a boolean parameter; None when it is missing."""
        return self.flag(name) if name in self else None

    def integer(self, name: str) -> int | None:
        """Return an integer parameter; None when it is missing or empty. Raises StatusError 400."""
        text = self.text(name)
        if not text:
            return None
        if not _INTEGER.fullmatch(text) or not -_INT64 <= int(text) < _INT64:
            raise errors.bad_request(f'{name}: strconv.ParseInt: parsing "{text}": invalid syntax')
        return int(text)

    def selected_name(self) -> str:
        """Return the name in a field selector for exactly one object, for authorization."""
        selector = self.text("fieldSelector")
        if not selector:
            return ""
        found = _EXACT_NAME.search(selector)
        return found[1] if found else ""


def list_options(query: Query) -> ListOptions:
    """Parse the options of list, watch and deletecollection. Raises StatusError 400."""
    if not query:
        return ListOptions()
    limit = max(query.integer("limit") or 0, 0)
    query.integer("timeoutSeconds")  # used by watches only, but checked for all verbs
    try:
        labels, fields = query.text("labelSelector"), query.text("fieldSelector")
        return ListOptions(
            label_selector=parse_label_selector(labels) if labels else None,
            field_selector=parse_field_selector(fields) if fields else None,
            limit=limit,
            continue_token=query.text("continue"),
            resource_version=query.text("resourceVersion"),
            resource_version_match=query.text("resourceVersionMatch"),
            allow_bookmarks=query.flag("allowWatchBookmarks"),
            send_initial_events=query.optional_flag("sendInitialEvents"),
        )
    except ValueError as error:
        raise errors.bad_request(str(error)) from error


def timeout_seconds(query: Query) -> int | None:
    """Parse ``timeoutSeconds``; None when it is missing or 0. Raises StatusError 400."""
    seconds = query.integer("timeoutSeconds")
    return seconds if seconds is not None and seconds > 0 else None


def dry_run(values: list[str], kind: str) -> bool:
    """Parse ``dryRun``. Raises StatusError 422 for anything but ``All``; ``kind`` names the options in the message."""
    wrong = [value for value in values if value != _ALL]
    if wrong:
        problems = [field_errors.not_supported("dryRun", values, (_ALL,))]
        raise errors.invalid(GroupKind("meta.k8s.io", kind), "", problems)
    return _ALL in values


def field_validation(query: Query, kind: str) -> str:
    """Parse ``fieldValidation``; Warn by default. Raises StatusError 422."""
    text = query.text("fieldValidation")
    if text in ("", STRICT, WARN, IGNORE):
        return text or WARN
    problem = field_errors.not_supported("fieldValidation", text, ("", IGNORE, STRICT, WARN))
    raise errors.invalid(GroupKind("meta.k8s.io", kind), "", [problem])


def manager_of(user_agent: str) -> str:
    """Return the field manager of a client that names none: its user agent up to the first slash."""
    text = user_agent.partition("/")[0]
    if not text.isprintable():
        text = "".join(letter for letter in text if letter.isprintable())
    return text[:_MANAGER_LENGTH] or "unknown"


def field_manager(query: Query, kind: str) -> str:
    """Parse ``fieldManager``; empty when it is missing. Raises StatusError 422 for an invalid name."""
    text = query.text("fieldManager")
    if problems := validate_field_manager(text, "fieldManager"):
        raise errors.invalid(GroupKind("meta.k8s.io", kind), "", problems)
    return text


def delete_options(query: Query, body: Any) -> tuple[DeleteOptions, bool]:
    """Parse the DeleteOptions of a body, or of the query without a body, and whether it is a dry run.

    Raises StatusError 400 or 422.
    """
    if body is None and not query:
        return DeleteOptions(), False
    if body is None:
        body = {}
        if policies := query.all("propagationPolicy"):
            body["propagationPolicy"] = policies[0]
        if (orphan := query.optional_flag("orphanDependents")) is not None:
            body["orphanDependents"] = orphan
        if (grace := query.integer("gracePeriodSeconds")) is not None:
            body["gracePeriodSeconds"] = grace
        if (ignore := query.optional_flag(IGNORE_READ_ERROR)) is not None:
            body[IGNORE_READ_ERROR] = ignore
        if runs := query.all("dryRun"):
            body["dryRun"] = runs
    if not isinstance(body, dict):
        raise errors.bad_request("the body of a delete must be a DeleteOptions object")
    kind = body.get("kind")
    if kind not in (None, "", "DeleteOptions"):
        raise errors.bad_request(f"the body of a delete must be a DeleteOptions object, not {kind}")
    preconditions = _member(body, "preconditions", dict) or {}
    options = DeleteOptions(
        propagation_policy=_member(body, "propagationPolicy", str),
        orphan_dependents=_member(body, "orphanDependents", bool),
        grace_period_seconds=_member(body, "gracePeriodSeconds", int),
        uid=_member(preconditions, "uid", str),
        resource_version=_member(preconditions, "resourceVersion", str),
        ignore_store_read_error=_member(body, IGNORE_READ_ERROR, bool) or False,
    )
    runs = _member(body, "dryRun", list) or []
    return options, dry_run([str(run) for run in runs], "DeleteOptions")


def _member(obj: dict[str, Any], name: str, kind: type) -> Any:
    value = obj.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise errors.bad_request(f"{name} of the DeleteOptions has the wrong type")
    return value
