"""What no audit event shows, at no level: secret values, tokens, and the credentials of requests.

Stricter than kube-apiserver, where the policy alone decides: the bodies of the types below are never recorded. Header fields are
never recorded, except for ``User-Agent`` and the addresses that proxies add.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

import orjson

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.registry.types.resource_types import ResourceType

REDACTED: Final = b"REDACTED"
_SECRET_RESOURCES: Final = frozenset(
    {
        ("", "secrets", ""),
        ("", "serviceaccounts", "token"),
        ("authentication.k8s.io", "tokenreviews", ""),
    }
)
"""Group, resource and subresource of the bodies that are secrets or credentials."""
_SECRET_KINDS: Final = frozenset({"Secret", "SecretList", "TokenRequest", "TokenReview"})
"""Kinds whose objects are not recorded wherever they are sent: an object may be sent to the wrong path."""
_PASSWORD_FORMAT: Final = re.compile(rb'"format":"password"')
"""How the schema of a CustomResourceDefinition declares a confidential field (OpenAPI, "Data Types")."""
_SECRET_PARAMETER: Final = re.compile(
    rb"token|secret|password|passwd|authorization|bearer|credential|api_?key|signature", re.IGNORECASE
)
_ESCAPES: Final = re.compile(rb"[%+]")


def is_secret_resource(attributes: AuthorizationAttributes) -> bool:
    """Whether the bodies of a request are secrets or credentials by the resource that it names."""
    if not attributes.is_resource:
        return False
    resource = attributes.resource
    if resource not in ("secrets", "serviceaccounts", "tokenreviews"):
        return False
    subresource = attributes.subresource
    return (attributes.group, resource, subresource) in _SECRET_RESOURCES or (
        not attributes.group and resource == "secrets"
    )


def is_secret_type(type_: ResourceType) -> bool:
    """Whether objects of a type hold confidential fields: declared by its strategy, or by its schema as passwords."""
    return bool(type_.strategy.confidential) or (not type_.builtin and _declares_passwords(type_))


def is_secret_kind(kind: object) -> bool:
    """Whether objects of a kind are secrets or credentials."""
    return isinstance(kind, str) and kind in _SECRET_KINDS


@lru_cache(1024)
def _declares_passwords(type_: ResourceType) -> bool:
    source = type_.schema_source
    if source is None:
        return False
    text = zlib.decompress(source) if isinstance(source, bytes) else orjson.dumps(source)
    return _PASSWORD_FORMAT.search(text) is not None


def redacted_uri(path: bytes, query: bytes) -> str:
    """Return a request's target, with the values of query parameters replaced that are named like a credential."""
    if not query:
        return path.decode("latin-1")
    if _SECRET_PARAMETER.search(query) is None and _ESCAPES.search(query) is None:
        return f"{path.decode('latin-1')}?{query.decode('latin-1')}"
    parts = [_redacted_parameter(part) for part in re.split(rb"([&;])", query)]
    return f"{path.decode('latin-1')}?{b''.join(parts).decode('latin-1')}"


def _redacted_parameter(part: bytes) -> bytes:
    name, equals, _ = part.partition(b"=")
    decoded = unquote_to_bytes(name.replace(b"+", b" ")).strip().lower()
    if equals and _SECRET_PARAMETER.search(decoded):
        return name + b"=" + REDACTED
    return part
