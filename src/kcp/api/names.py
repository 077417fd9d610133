"""Which names are good: the rules of k8s.io/apimachinery's validation, with its messages.

Each function returns what is wrong, as texts for a person; an empty list means fine.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS1123_LABEL: Final = re.compile(_LABEL)
_DNS1123_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_DNS1035_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_MAP_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")

LABEL_LENGTH: Final = 63
SUBDOMAIN_LENGTH: Final = 253

_LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_1035_TEXT: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_NAME_TEXT: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_TEXT: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_TEXT: Final = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)


def too_long(limit: int) -> str:
    """The message for a text over a length."""
    return f"must be no more than {limit} characters"


def is_dns1123_label(name: str) -> list[str]:
    """RFC 1123 label: up to 63 of ``a-z0-9-``."""
    found = [too_long(LABEL_LENGTH)] if len(name) > LABEL_LENGTH else []
    if not _DNS1123_LABEL.fullmatch(name):
        found.append(_SUBDOMAIN_TEXT if _DNS1123_SUBDOMAIN.fullmatch(name) and "." not in name else _LABEL_TEXT)
    return found


def is_dns1123_subdomain(name: str) -> list[str]:
    """RFC 1123 subdomain: labels joined by dots, up to 253 characters; the names of most objects."""
    found = [too_long(SUBDOMAIN_LENGTH)] if len(name) > SUBDOMAIN_LENGTH else []
    if not _DNS1123_SUBDOMAIN.fullmatch(name):
        found.append(_SUBDOMAIN_TEXT)
    return found


def is_dns1035_label(name: str) -> list[str]:
    """RFC 1035 label: as RFC 1123's, and starts with a letter."""
    found = [too_long(LABEL_LENGTH)] if len(name) > LABEL_LENGTH else []
    if not _DNS1035_LABEL.fullmatch(name):
        found.append(_1035_TEXT)
    return found


def is_qualified_name(text: str) -> list[str]:
    """A label key, annotation key or finalizer: ``[prefix/]name``."""
    prefix, slash, name = text.rpartition("/")
    if "/" in prefix:
        return [
            "a qualified name "
            + _NAME_TEXT.removeprefix("name part ").split(" (e.g.", 1)[0]
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    found: list[str] = []
    if slash:
        if not prefix:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {message}" for message in is_dns1123_subdomain(prefix)]
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > LABEL_LENGTH:
        found.append("name part " + too_long(LABEL_LENGTH))
    if not _QUALIFIED.fullmatch(name):
        found.append(_NAME_TEXT)
    return found


def is_label_value(text: str) -> list[str]:
    """The value of a label: empty, or up to 63 characters."""
    if not text:
        return []
    found = [too_long(LABEL_LENGTH)] if len(text) > LABEL_LENGTH else []
    if not _QUALIFIED.fullmatch(text):
        found.append(_VALUE_TEXT)
    return found


def is_config_map_key(text: str) -> list[str]:
    """A key of a ConfigMap's or Secret's data."""
    found = [too_long(SUBDOMAIN_LENGTH)] if len(text) > SUBDOMAIN_LENGTH else []
    if not _CONFIG_MAP_KEY.fullmatch(text):
        found.append(_KEY_TEXT)
    if text == ".":
        found.append("must not be '.'")
    elif text == "..":
        found.append("must not be '..'")
    elif text.startswith(".."):
        found.append("must not start with '..'")
    return found


def is_path_segment_name(text: str) -> list[str]:
    """A name that may stand in a URL path: what RBAC objects are held to."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{forbidden}'" for forbidden in ("/", "%") if forbidden in text]


def is_fully_qualified_name(text: str) -> list[str]:
    """A domain with at least three parts: the names of admission webhooks."""
    if not text:
        return ["must not be empty"]
    found = is_dns1123_subdomain(text)
    if found:
        return found
    if text.count(".") < 2:
        return ["should be a domain with at least three segments separated by dots"]
    return []
