"""Validation of string formats.

Follows kube-openapi's strfmt registry with apiextensions-apiserver's list of supported formats: dashes in a format's name are
ignored (``date-time`` is ``datetime``), and an unknown format is not enforced. Regular expressions take linear time (re2); they
are compiled when they are first used.
"""

import calendar
import ipaddress
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from kcp.cel.patterns import compile_pattern

StringCheck = Callable[[str], bool]


def _matches(text: str) -> StringCheck:
    def check(value: str) -> bool:
        return compile_pattern(text).search(value) is not None

    return check


_HOSTNAME: Final = _matches(
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)"
    r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
)
_TIME: Final = r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))$"
_DATE: Final = r"^([0-9]{4})-([0-9]{2})-([0-9]{2})$"
_GO_DURATION: Final = r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
_WORD_DURATION: Final = r"(\d+)\s*([A-Za-zµ]+)"
_SHORT_NAME: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_IS_SHORT_NAME: Final = _matches(f"^{_SHORT_NAME}$")
_IS_LONG_NAME: Final = _matches(rf"^{_SHORT_NAME}(\.{_SHORT_NAME})*$")
_CREDIT_CARD: Final = _matches(
    r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$"
)
_SSN: Final = _matches(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$")
_MAC: Final = _matches(
    r"^(?:[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){7}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){19}"
    r"|[0-9a-fA-F]{2}(?:-[0-9a-fA-F]{2}){5}|[0-9a-fA-F]{2}(?:-[0-9a-fA-F]{2}){7}|[0-9a-fA-F]{2}(?:-[0-9a-fA-F]{2}){19}"
    r"|[0-9a-fA-F]{4}(?:\.[0-9a-fA-F]{4}){2}|[0-9a-fA-F]{4}(?:\.[0-9a-fA-F]{4}){3}|[0-9a-fA-F]{4}(?:\.[0-9a-fA-F]{4}){9})$"
)
_COLOUR_PART: Final = r"\s*(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"
_WORD_UNITS: Final = ("ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk")
_WORD_PREFIXES: Final = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")


def is_date(value: str) -> bool:
    """RFC 3339 full-date."""
    found = compile_pattern(_DATE).search(value)
    if found is None or not value.isascii():
        return False
    year, month, day = (int(part) for part in found.groups())
    return 1 <= month <= 12 and 1 <= day <= (calendar.monthrange(year or 4, month)[1])


def is_date_time(value: str) -> bool:
    """RFC 3339 date-time, as lenient as Kubernetes."""
    parts = value.lower().split("t")
    if len(parts) < 2 or not is_date(parts[0]):
        return False
    found = compile_pattern(_TIME).search(parts[1])
    return found is not None and found.group(1) <= "23" and found.group(2) <= "59" and found.group(3) <= "59"


def is_duration(value: str) -> bool:
    """Go's ``1h30m`` or Scala's ``22 ns``."""
    if compile_pattern(_GO_DURATION).search(value):
        return True
    for _, unit in compile_pattern(_WORD_DURATION).findall(value):
        lowered = unit.lower()
        if lowered in _WORD_UNITS or lowered.startswith(_WORD_PREFIXES):
            return True
    return False


def _drop_leading_zeros(address: str) -> str:
    return ".".join(part.lstrip("0") or "0" if part.isdigit() else part for part in address.split("."))


def _is_ip(value: str) -> bool:
    if "%" in value:
        return False
    head, colon, tail = value.rpartition(":")
    candidate = head + colon + _drop_leading_zeros(tail) if "." in tail else value
    try:
        ipaddress.ip_address(candidate)
    except ValueError:
        return False
    return True


def is_ipv4(value: str) -> bool:
    """An IPv4 address; leading zeros are allowed."""
    return "." in value and _is_ip(value)


def is_ipv6(value: str) -> bool:
    """An IPv6 address."""
    return ":" in value and _is_ip(value)


def is_cidr(value: str) -> bool:
    """``address/prefix length``."""
    address, slash, length = value.partition("/")
    if not slash or not _is_ip(address) or not (length.isascii() and length.isdigit()) or len(length) > 3:
        return False
    return int(length) <= (128 if ":" in address else 32)


def is_uri(value: str) -> bool:
    """An absolute URI or an absolute path (Go's ``url.ParseRequestURI``)."""
    if not value or any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
        return False
    if value == "*":
        return True
    scheme, colon, rest = value.partition(":")
    if not value.startswith("/"):
        if not colon or not scheme[:1].isalpha() or not scheme.isascii():
            return False
        if not all(char.isalnum() or char in "+-." for char in scheme) or not rest.startswith("/"):
            return bool(colon and rest and not rest.startswith("/") and _opaque(scheme))
    else:
        rest = value
    return _authority_and_path(rest)


def _opaque(scheme: str) -> bool:
    return scheme.isascii() and scheme[:1].isalpha() and all(char.isalnum() or char in "+-." for char in scheme)


def _authority_and_path(rest: str) -> bool:
    before_query = rest.partition("?")[0]
    if before_query.startswith("//"):
        authority, _, path = before_query[2:].partition("/")
        host = authority.rpartition("@")[2]
        if " " in host or "<" in host or '"' in host or not _port_is_fine(host):
            return False
    else:
        path = before_query
    return _percent_encoding_is_fine(path)


def _port_is_fine(host: str) -> bool:
    if host.startswith("["):
        closed, bracket, port = host.rpartition("]")
        return bool(bracket) and _is_ip(closed[1:].partition("%")[0]) and (not port or _is_port(port))
    name, colon, port = host.rpartition(":")
    return ":" not in name and (not colon or _is_port(":" + port))


def _is_port(text: str) -> bool:
    return text[:1] == ":" and (text[1:] == "" or (text[1:].isascii() and text[1:].isdigit()))


def _percent_encoding_is_fine(path: str) -> bool:
    escapes = path.split("%")[1:]
    return all(len(unquote_to_bytes("%" + piece[:2])) == 1 and len(piece) >= 2 for piece in escapes)


def is_email(value: str) -> bool:
    """One address, with or without a display name (RFC 5322).

    The parser is imported here: a start would wait for it, and few schemas have this format.
    """
    text = value.strip()
    if text.endswith(">") and "<" in text:
        text = text[text.rindex("<") + 1 : -1]
    if not text or "@" not in text or text.endswith("@"):
        return False
    from email.errors import HeaderParseError
    from email.headerregistry import Address

    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, HeaderParseError):
        return False
    return bool(address.username and address.domain)


def is_hostname(value: str) -> bool:
    """A host name (RFC 1034, section 3.1)."""
    if not _HOSTNAME(value) or len(value.encode()) > 255:
        return False
    return all(len(part.encode()) <= 63 for part in value.split("."))


def is_isbn10(value: str) -> bool:
    """Ten digits, the last of which is the check digit."""
    digits = _without_spaces_and_minus(value)
    if len(digits) != 10 or not _digits(digits[:9]) or not (_digits(digits[9]) or digits[9] == "X"):
        return False
    last = 10 if digits[9] == "X" else int(digits[9])
    return (sum((index + 1) * int(digit) for index, digit in enumerate(digits[:9])) + 10 * last) % 11 == 0


def is_isbn13(value: str) -> bool:
    """Thirteen digits, the last of which is the check digit."""
    digits = _without_spaces_and_minus(value)
    if len(digits) != 13 or not _digits(digits):
        return False
    total = sum(int(digit) * (1, 3)[index % 2] for index, digit in enumerate(digits[:12]))
    return int(digits[12]) == (10 - total % 10) % 10


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _without_spaces_and_minus(value: str) -> str:
    return "".join(char for char in value if char not in "- \t\n\f\r")


def is_credit_card(value: str) -> bool:
    """A card number with a valid check digit; other characters are ignored."""
    digits = "".join(char for char in value if char in "0123456789")
    if not _CREDIT_CARD(digits):
        return False
    total = 0
    for index, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + index % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _any_string(_: str) -> bool:
    return True


def _limited(limit: int, check: StringCheck) -> StringCheck:
    def limited(value: str) -> bool:
        return len(value) <= limit and check(value)

    return limited


_HEX: Final = "[0-9a-f]"
STRING_FORMATS: Final[dict[str, StringCheck]] = {
    "bsonobjectid": _matches("^[0-9a-fA-F]{24}$"),
    "uri": is_uri,
    "email": is_email,
    "hostname": is_hostname,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "cidr": is_cidr,
    "mac": _MAC,
    "uuid": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}}$"),
    "uuid3": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?3{_HEX}{{3}}-?{_HEX}{{4}}-?{_HEX}{{12}}$"),
    "uuid4": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?4{_HEX}{{3}}-?[89ab]{_HEX}{{3}}-?{_HEX}{{12}}$"),
    "uuid5": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?5{_HEX}{{3}}-?[89ab]{_HEX}{{3}}-?{_HEX}{{12}}$"),
    "isbn": lambda value: is_isbn10(value) or is_isbn13(value),
    "isbn10": is_isbn10,
    "isbn13": is_isbn13,
    "creditcard": is_credit_card,
    "ssn": lambda value: len(value) == 11 and _SSN(value),
    "hexcolor": _matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    "rgbcolor": _matches(rf"^rgb\({_COLOUR_PART},{_COLOUR_PART},{_COLOUR_PART}\)$"),
    "byte": _matches("^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"),
    "password": _any_string,
    "date": is_date,
    "duration": is_duration,
    "datetime": is_date_time,
    "k8sshortname": _limited(63, _IS_SHORT_NAME),
    "k8slongname": _limited(253, _IS_LONG_NAME),
}
_NUMBER_FORMATS: Final = {"integer": ("int32", "int64"), "number": ("float", "double")}


def effective_format(types: Sequence[str], name: str) -> str:
    """The format if it is enforced for values of these types, else an empty string."""
    only = types[0] if len(types) == 1 else ""
    if only in ("", "string"):
        return name if name.replace("-", "") in STRING_FORMATS else ""
    return name if name in _NUMBER_FORMATS.get(only, ()) else ""


def is_recognized(types: Sequence[str], name: str) -> bool:
    """Whether the format is known to validation; an unknown format is a warning, not an error."""
    return not name or bool(effective_format(types, name))


def string_check(name: str) -> StringCheck | None:
    """The check of an enforced format on strings."""
    return STRING_FORMATS.get(name.replace("-", ""))
