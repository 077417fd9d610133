"""Validation of names, after k8s.io/apimachinery's ``validation`` package, with its messages.

Each function returns the messages of the rules that the name violates; an empty list means that it is valid. Valid names, which
every write brings, take one regular expression. Lengths are counted in bytes of UTF-8, as in Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_UNDERSCORE: Final = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE: Final = rf"{_LABEL_UNDERSCORE}(\.{_LABEL_UNDERSCORE})*"
_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY_NAME: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY: Final = "[-._a-zA-Z0-9]+"

# These expressions match the same languages as the patterns above, without backtracking.
_label_ok: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?").fullmatch
_subdomain_ok: Final = re.compile(r"[a-z0-9]++(?:(?:\.|-++)[a-z0-9]++)*+").fullmatch
_subdomain_underscore_ok: Final = re.compile(_SUBDOMAIN_UNDERSCORE).fullmatch
_1035_ok: Final = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?").fullmatch
_KEY_NAME_MATCHED: Final = "[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_QUALIFIED_MATCHED: Final = rf"(?:[a-z0-9]++(?:(?:\.|-++)[a-z0-9]++)*+/)?{_KEY_NAME_MATCHED}"
_key_name_ok: Final = re.compile(_KEY_NAME_MATCHED).fullmatch
_qualified_ok: Final = re.compile(_QUALIFIED_MATCHED).fullmatch
_qualified_lines: Final = re.compile(rf"(?:{_QUALIFIED_MATCHED}\n)*+")
_value_lines: Final = re.compile(rf"(?:(?:{_KEY_NAME_MATCHED})?\n)*+")
_config_key_ok: Final = re.compile(_CONFIG_KEY).fullmatch

LABEL_LENGTH: Final = 63
SUBDOMAIN_LENGTH: Final = 253


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


def too_long(limit: int, unit: str = "characters") -> str:
    """The message for a text over its maximum length. For label keys and values, Kubernetes' ``unit`` is ``bytes``."""
    return f"must be no more than {limit} {unit}"


def _longer(text: str, limit: int) -> bool:
    # lone surrogates cannot come from JSON; a text with them fails its pattern in any case
    return len(text.encode("utf-8", "surrogatepass")) > limit


def _messages(text: str, limit: int, fits: bool, message: str) -> list[str]:
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
    return _messages(name, SUBDOMAIN_LENGTH, bool(_subdomain_ok(name)), _SUBDOMAIN_TEXT)


def is_dns1123_subdomain_with_underscore(name: str) -> list[str]:
    """An RFC 1123 subdomain whose labels may hold underscores."""
    return _messages(name, SUBDOMAIN_LENGTH, bool(_subdomain_underscore_ok(name)), _SUBDOMAIN_UNDERSCORE_TEXT)


def is_dns1035_label(name: str) -> list[str]:
    """RFC 1035 label: as RFC 1123's, and starts with a letter."""
    return _messages(name, LABEL_LENGTH, bool(_1035_ok(name)), _1035_TEXT)


@lru_cache(maxsize=2048)
def _is_plainly_qualified(text: str) -> bool:
    # keys recur from object to object; only short ones are cached, so the cache stays small
    return bool(_qualified_ok(text))


@lru_cache(maxsize=2048)
def is_plain_label(key: str, value: str) -> bool:
    """Whether a short key and a short value are those of a label. Labels recur from object to object."""
    return not is_qualified_name(key) and not is_label_value(value)


def is_qualified_name(text: str) -> list[str]:
    """A label key, annotation key or finalizer: ``[prefix/]name``."""
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


def are_short_qualified_names(texts: Collection[str]) -> bool:
    """Whether all texts are qualified names of up to 63 characters: one match for all of them, as objects can have many."""
    return _all_match(texts, _qualified_lines)


def are_label_values(texts: Collection[str]) -> bool:
    """Whether all texts are label values: one match for all of them."""
    return _all_match(texts, _value_lines)


def _all_match(texts: Collection[str], pattern: re.Pattern[str]) -> bool:
    if max(map(len, texts), default=0) > LABEL_LENGTH:
        return False
    lines = "\n".join((*texts, ""))
    return lines.count("\n") == len(texts) and pattern.fullmatch(lines) is not None


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
    if len(text) <= SUBDOMAIN_LENGTH and _config_key_ok(text) and not text.startswith("."):
        return []
    return _messages(text, SUBDOMAIN_LENGTH, bool(_config_key_ok(text)), _CONFIG_KEY_TEXT) + _dot_errors(text)


def is_path_segment_name(text: str) -> list[str]:
    """A name that is one segment of a URL path: the rule for RBAC objects."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return is_path_segment_prefix(text)


def is_path_segment_prefix(text: str) -> list[str]:
    """A prefix of a name that is one segment of a URL path."""
    return [f"may not contain '{part}'" for part in ("/", "%") if part in text]


def is_fully_qualified_name(text: str) -> list[str]:
    """A domain with at least three labels: the names of admission webhooks."""
    if not text:
        return ["must not be empty"]
    if found := is_dns1123_subdomain(text):
        return [",".join(found)]
    if text.count(".") < 2:
        return ["should be a domain with at least three segments separated by dots"]
    return []


def mask_trailing_dash(prefix: str) -> str:
    """A ``generateName`` with its trailing dash replaced, so that the rules for names apply to it."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix
