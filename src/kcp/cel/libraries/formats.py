"""Kubernetes' format library: validation of strings by named formats."""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, Final

from kcp.api import names
from kcp.cel.call_costs import length, tenth
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.libraries.urls import check_request_uri
from kcp.cel.times import date, timestamp
from kcp.cel.values import NONE, Opaque, Optional

_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\Z")


class NamedFormat(Opaque):
    """A named format: its validation function, and the size of its regular expression for the cost."""

    __slots__ = ("errors", "name", "pattern_length")
    cel_type = "kubernetes.NamedFormat"

    def __init__(self, name: str, errors: Callable[[str], list[str]], pattern_length: int) -> None:
        self.name = name
        self.errors = errors
        self.pattern_length = pattern_length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedFormat) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def _prefix(rule: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """The validation of a name prefix, which may end with a dash."""
    return lambda text: rule(f"{text[:-2]}a" if len(text) > 1 and text.endswith("-") else text)


def _parsed(parse: Callable[[str], Any], message: str = "") -> Callable[[str], list[str]]:
    def errors(text: str) -> list[str]:
        try:
            parse(text)
        except (EvaluationError, binascii.Error, ValueError) as error:
            return [message or str(error)]
        return []

    return errors


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _uuid(text: str) -> list[str]:
    return [] if _UUID.match(text) else ["does not match the UUID format"]


_FORMATS: Final = {
    "dns1123Label": NamedFormat("DNS1123Label", names.is_dns1123_label, 30),
    "dns1123Subdomain": NamedFormat("DNS1123Subdomain", names.is_dns1123_subdomain, 60),
    "dns1035Label": NamedFormat("DNS1035Label", names.is_dns1035_label, 30),
    "qualifiedName": NamedFormat("QualifiedName", names.is_qualified_name, 60),
    "dns1123LabelPrefix": NamedFormat("DNS1123LabelPrefix", _prefix(names.is_dns1123_label), 30),
    "dns1123SubdomainPrefix": NamedFormat("DNS1123SubdomainPrefix", _prefix(names.is_dns1123_subdomain), 60),
    "dns1035LabelPrefix": NamedFormat("DNS1035LabelPrefix", _prefix(names.is_dns1035_label), 30),
    "labelValue": NamedFormat("LabelValue", names.is_label_value, 40),
    "uri": NamedFormat("URI", _parsed(check_request_uri), 1000),
    "uuid": NamedFormat("uuid", _uuid, 80),
    "byte": NamedFormat("byte", _parsed(_decode, "invalid base64"), 84),
    "date": NamedFormat("date", _parsed(date, "invalid date"), 100),
    "datetime": NamedFormat("datetime", _parsed(timestamp, "invalid datetime"), 100),
}


def _named(name: str) -> Optional:
    return Optional(present=True, value=_FORMATS[name]) if name in _FORMATS else NONE


def _validate(format_: NamedFormat, text: str) -> Optional:
    found = format_.errors(text)
    return Optional(present=True, value=found) if found else NONE


def _cost(_result: Any, format_: NamedFormat, text: str) -> int:
    return tenth(1 + length(text)) * ((format_.pattern_length + 3) // 4)


def _constant(format_: NamedFormat) -> Callable[[], NamedFormat]:
    return lambda: format_


ROWS: Final[list[Row]] = [("format-validate", "namedFormat.validate(string): optional<list<string>>", _validate, _cost)]
NAMESPACED: Final[list[Row]] = [
    ("format-named", "format.named(string): optional<namedFormat>", _named),
    *((f"format.{name}", f"format.{name}(): namedFormat", _constant(format_)) for name, format_ in _FORMATS.items()),
]
