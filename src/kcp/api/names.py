"""Which names are good: the rules of k8s.io/apimachinery's validation, with its messages.

Each function returns what is wrong, as texts for a person; an empty list means fine. Good names leave on the first line
(0.3 us), since every create and update passes here; lengths are those of UTF-8, as Kubernetes counts them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_UNDERSCORE: Final = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE: Final = rf"{_LABEL_UNDERSCORE}(\.{_LABEL_UNDERSCORE})*"
_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD: Final = rf"\*\.{_SUBDOMAIN}"
_KEY_NAME: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"
_IDENTIFIER: Final = "[A-Za-z_][A-Za-z0-9_]*"
_ENVIRONMENT: Final = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_HEADER: Final = "[-A-Za-z0-9]+"
_PERCENT: Final = "[0-9]+%"
_HTTP_PATH: Final = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_CONDITION_REASON: Final = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"

# What is matched are these plainer forms of the patterns above: the same languages, without the backtracking.
_label_ok: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?").fullmatch
_subdomain_ok: Final = re.compile(r"[a-z0-9]++(?:(?:\.|-++)[a-z0-9]++)*+").fullmatch
_subdomain_underscore_ok: Final = re.compile(_SUBDOMAIN_UNDERSCORE).fullmatch
_1035_ok: Final = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?").fullmatch
_wildcard_ok: Final = re.compile(r"\*\.[a-z0-9]++(?:(?:\.|-++)[a-z0-9]++)*+").fullmatch
_key_name_ok: Final = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?").fullmatch
_qualified_ok: Final = re.compile(
    r"(?:[a-z0-9]++(?:(?:\.|-++)[a-z0-9]++)*+/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
).fullmatch
_config_key_ok: Final = re.compile(_CONFIG_KEY).fullmatch
_identifier_ok: Final = re.compile(_IDENTIFIER).fullmatch
_environment_ok: Final = re.compile(_ENVIRONMENT).fullmatch
_header_ok: Final = re.compile(_HEADER).fullmatch
_percent_ok: Final = re.compile(_PERCENT).fullmatch
_http_path_ok: Final = re.compile(_HTTP_PATH).fullmatch
_condition_reason_ok: Final = re.compile(_CONDITION_REASON).fullmatch
_port_name_ok: Final = re.compile("[-a-z0-9]+").fullmatch

LABEL_LENGTH: Final = 63
SUBDOMAIN_LENGTH: Final = 253
PORT_NAME_LENGTH: Final = 15


def _regex_text(rule: str, pattern: str, *examples: str) -> str:
    shown = "or ".join(f"'{example}', " for example in examples)
    # Kubernetes joins examples with " or " after a ", ": hence the two spaces
    return f"{rule} (e.g. {shown.replace(', or', ',  or')}regex used for validation is '{pattern}')"


_LABEL_TEXT: Final = _regex_text(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_TEXT: Final = _regex_text(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_SUBDOMAIN_UNDERSCORE_TEXT: Final = _regex_text(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start "
    "and end with an alphanumeric character",
    _SUBDOMAIN_UNDERSCORE,
    "example.com",
)
_1035_TEXT: Final = _regex_text(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and "
    "end with an alphanumeric character",
    _1035,
    "my-name",
    "abc-123",
)
_WILDCARD_TEXT: Final = _regex_text(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower "
    "case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
_KEY_TEXT: Final = _regex_text(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    _KEY_NAME,
    "MyName",
    "my.name",
    "123-abc",
)
_VALUE_TEXT: Final = _regex_text(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character",
    f"({_KEY_NAME})?",
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_TEXT: Final = _regex_text(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_IDENTIFIER_TEXT: Final = _regex_text(
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters "
    "or '_'",
    _IDENTIFIER,
    "my_name",
    "MY_NAME",
    "MyName",
)
_ENVIRONMENT_TEXT: Final = _regex_text(
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not "
    "start with a digit",
    _ENVIRONMENT,
    "my.env-name",
    "MY_ENV.NAME",
    "MyEnvName1",
)
_HEADER_TEXT: Final = _regex_text(
    "a valid HTTP header must consist of alphanumeric characters or '-'", _HEADER, "X-Header-Name"
)
_PERCENT_TEXT: Final = _regex_text(
    "a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%"
)
_CONDITION_REASON_TEXT: Final = _regex_text(
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters "
    "or '_,:', and must end with an alphanumeric character or '_'",
    _CONDITION_REASON,
    "my_name",
    "MY_NAME",
    "MyName",
    "ReasonA,ReasonB",
    "ReasonA:ReasonB",
)


def too_long(limit: int, unit: str = "characters") -> str:
    """The message for a text over a length. Kubernetes says ``bytes`` of label keys and values."""
    return f"must be no more than {limit} {unit}"


def _longer(text: str, limit: int) -> bool:
    # a text of surrogates cannot come from JSON bodies; from anywhere else it is over no length and fails its pattern
    return len(text.encode("utf-8", "surrogatepass")) > limit


def _judged(text: str, limit: int, fits: bool, message: str) -> list[str]:
    found = [too_long(limit)] if _longer(text, limit) else []
    if not fits:
        found.append(message)
    return found


def is_dns1123_label(name: str) -> list[str]:
    """RFC 1123 label: up to 63 of ``a-z0-9-``."""
    if _label_ok(name):
        return []
    found = [too_long(LABEL_LENGTH)] if _longer(name, LABEL_LENGTH) else []
    if _subdomain_ok(name):
        if "." in name:
            found.append("must not contain dots")
    else:
        found.append(_LABEL_TEXT)
    return found


def is_dns1123_subdomain(name: str) -> list[str]:
    """RFC 1123 subdomain: labels joined by dots, up to 253 characters; the names of most objects."""
    if len(name) <= SUBDOMAIN_LENGTH and _subdomain_ok(name):
        return []
    return _judged(name, SUBDOMAIN_LENGTH, bool(_subdomain_ok(name)), _SUBDOMAIN_TEXT)


def is_dns1123_subdomain_with_underscore(name: str) -> list[str]:
    """An RFC 1123 subdomain whose labels may hold underscores."""
    return _judged(name, SUBDOMAIN_LENGTH, bool(_subdomain_underscore_ok(name)), _SUBDOMAIN_UNDERSCORE_TEXT)


def is_wildcard_dns1123_subdomain(name: str) -> list[str]:
    """``*.`` and an RFC 1123 subdomain (RFC 1034, 4.3.3)."""
    return _judged(name, SUBDOMAIN_LENGTH, bool(_wildcard_ok(name)), _WILDCARD_TEXT)


def is_dns1035_label(name: str) -> list[str]:
    """RFC 1035 label: as RFC 1123's, and starts with a letter."""
    return _judged(name, LABEL_LENGTH, bool(_1035_ok(name)), _1035_TEXT)


@lru_cache(maxsize=2048)
def _is_plainly_qualified(text: str) -> bool:
    # only short texts come here: keys recur from object to object (0.07 us instead of 0.5), and the cache stays small
    return bool(_qualified_ok(text))


def is_qualified_name(text: str) -> list[str]:
    """A label key, annotation key, finalizer or condition type: ``[prefix/]name``."""
    if len(text) <= LABEL_LENGTH and _is_plainly_qualified(text):
        return []
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {_KEY_TEXT} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    found: list[str] = []
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif slash:
        if _longer(prefix, SUBDOMAIN_LENGTH):
            found.append("prefix part " + too_long(SUBDOMAIN_LENGTH, "bytes"))
        if not _subdomain_ok(prefix):
            found.append("prefix part " + _SUBDOMAIN_TEXT)
    if not name:
        found.append("name part must be non-empty")
    elif _longer(name, LABEL_LENGTH):
        found.append("name part " + too_long(LABEL_LENGTH, "bytes"))
    if not _key_name_ok(name):
        found.append("name part " + _KEY_TEXT)
    return found


def is_prefixed_label_key(text: str) -> list[str]:
    """A qualified name that has its prefix: ``example.com/key``."""
    return is_qualified_name(text) or ([] if "/" in text else ["must include a prefix (e.g. 'example.com/key')"])


def is_label_value(text: str) -> list[str]:
    """The value of a label: empty, or up to 63 characters."""
    if not text or (len(text) <= LABEL_LENGTH and _key_name_ok(text)):
        return []
    found = [too_long(LABEL_LENGTH, "bytes")] if _longer(text, LABEL_LENGTH) else []
    if not _key_name_ok(text):
        found.append(_VALUE_TEXT)
    return found


def _dot_errors(text: str) -> list[str]:
    if text in (".", ".."):
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def is_config_map_key(text: str) -> list[str]:
    """A key of a ConfigMap's or Secret's data."""
    return _judged(text, SUBDOMAIN_LENGTH, bool(_config_key_ok(text)), _CONFIG_KEY_TEXT) + _dot_errors(text)


def is_env_var_name(text: str) -> list[str]:
    """The name of an environment variable."""
    return ([] if _environment_ok(text) else [_ENVIRONMENT_TEXT]) + _dot_errors(text)


def is_c_identifier(text: str) -> list[str]:
    """An identifier of the C language."""
    return [] if _identifier_ok(text) else [_IDENTIFIER_TEXT]


def is_http_header_name(text: str) -> list[str]:
    """The name of an HTTP header."""
    return [] if _header_ok(text) else [_HEADER_TEXT]


def is_valid_percent(text: str) -> list[str]:
    """A percentage such as ``93%``."""
    return [] if _percent_ok(text) else [_PERCENT_TEXT]


def is_condition_reason(text: str) -> list[str]:
    """The reason of a condition."""
    return [] if _condition_reason_ok(text) else [_CONDITION_REASON_TEXT]


def is_path_segment_name(text: str) -> list[str]:
    """A name that may stand in a URL path: what RBAC objects are held to."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return is_path_segment_prefix(text)


def is_path_segment_prefix(text: str) -> list[str]:
    """A text that a name in a URL path may start with."""
    return [f"may not contain '{part}'" for part in ("/", "%") if part in text]


def is_fully_qualified_name(text: str) -> list[str]:
    """A domain with at least three parts: the names of admission webhooks. Emptiness is for the caller to name."""
    if not text:
        return ["must not be empty"]
    if found := is_dns1123_subdomain(text):
        return [",".join(found)]
    if text.count(".") < 2:
        return ["should be a domain with at least three segments separated by dots"]
    return []


def is_fully_qualified_domain_name(text: str) -> list[str]:
    """A domain with at least two parts, perhaps ending in a dot."""
    if not text:
        return ["must not be empty"]
    text = text.removesuffix(".")
    if found := is_dns1123_subdomain(text):
        return [",".join(found)]
    if "." not in text:
        return ["should be a domain with at least two segments separated by dots"]
    for label in text.split("."):
        if found := is_dns1123_label(label):
            return [",".join(found)]
    return []


def is_domain_prefixed_path(text: str) -> list[str]:
    """A domain, a slash and a path: signer names, CRI handlers, ``acme.io/foo``."""
    host, slash, path = text.partition("/")
    if not (host and slash and path):
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    if found := is_dns1123_subdomain(host):
        return found
    return [] if _http_path_ok(path) else [f"Invalid path (regex used for validation is '{_HTTP_PATH}')"]


def is_valid_port_number(port: int) -> list[str]:
    """A TCP or UDP port."""
    return is_in_range(port, 1, 65535)


def is_valid_port_name(text: str) -> list[str]:
    """The name of a port: an IANA service name (RFC 6335) in lower case."""
    found = [too_long(PORT_NAME_LENGTH)] if _longer(text, PORT_NAME_LENGTH) else []
    if not _port_name_ok(text):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= letter <= "z" for letter in text):
        found.append("must contain at least one letter (a-z)")
    if "--" in text:
        found.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found


def is_in_range(value: int, low: int, high: int) -> list[str]:
    """A number between two bounds, both included."""
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def is_decimal_integer(text: str) -> list[str]:
    """A decimal integer in canonical form: resource versions."""
    if not text:
        return ["must be non-empty"]
    return [] if _decimal_ok(text) else ["must be a valid decimal integer in canonical form"]


_decimal_ok: Final = re.compile("0|-?[1-9][0-9]*").fullmatch


def mask_trailing_dash(prefix: str) -> str:
    """A ``generateName`` in a form that the rules for names can judge: its last dash counts as a letter."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
