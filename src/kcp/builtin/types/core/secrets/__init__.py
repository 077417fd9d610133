"""Secrets (core/v1)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import orjson

from kcp.api import field_errors
from kcp.api.field_errors import FieldError
from kcp.auth.certificates import KeyPair, key_matches
from kcp.builtin.fields import canonical_bytes, decoded_size, mapping, text, unchanged
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.builtin.types.core.data import MAX_BYTES, immutability_errors, key_errors
from kcp.registry.types.strategies import Object
from kcp.schema.formats import STRING_FORMATS

_BASIC_AUTH: Final = "kubernetes.io/basic-auth"
_SERVICE_ACCOUNT_TOKEN: Final = "kubernetes.io/service-account-token"  # noqa: S105 - a type's name
_SERVICE_ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
_TLS: Final = "kubernetes.io/tls"
_REQUIRED_KEYS: Final = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    _TLS: ("tls.crt", "tls.key"),
}
_PEM: Final = b"-----BEGIN "
_IS_BASE64: Final = STRING_FORMATS["byte"]
_JSON_TYPES: Final = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")


class SecretStrategy(BuiltinStrategy):
    """Secrets: ``stringData`` is merged into ``data``; some types require certain keys."""

    selectable: ClassVar[frozenset[str]] = frozenset({"type"})
    confidential: ClassVar[frozenset[str]] = frozenset({"data", "stringData"})

    def default(self, obj: Object) -> None:
        super().default(obj)
        if obj.get("type") in (None, ""):
            obj["type"] = "Opaque"
        canonical_bytes(mapping(obj, "data"))
        strings = obj.get("stringData")
        if isinstance(strings, dict) and all(isinstance(value, str) for value in strings.values()):
            del obj["stringData"]
            data = obj.get("data")
            if strings and (data is None or isinstance(data, dict)):
                encoded = {key: base64.b64encode(value.encode()).decode() for key, value in strings.items()}
                encoded.update(_undecodable(data, strings))
                obj["data"] = {**data, **encoded} if data else encoded

    def validate(self, obj: Object) -> list[FieldError]:
        data, type_ = mapping(obj, "data"), text(obj, "type")
        found = list(key_errors(data, "data"))
        if sum(decoded_size(value) for value in data.values()) > MAX_BYTES:
            found.append(field_errors.too_long("data", MAX_BYTES))
        if type_ == _SERVICE_ACCOUNT_TOKEN:
            if not text(mapping(obj["metadata"], "annotations"), _SERVICE_ACCOUNT_NAME):
                found.append(field_errors.required(f"metadata.annotations[{_SERVICE_ACCOUNT_NAME}]"))
        elif type_ == _BASIC_AUTH:
            if not ({"username", "password"} & set(data)):
                found += [field_errors.required("data[username]"), field_errors.required("data[password]")]
        elif keys := _REQUIRED_KEYS.get(type_):
            present_if_empty = type_ != "kubernetes.io/ssh-auth"
            found += [
                field_errors.required(f"data[{key}]")
                for key in keys
                if key not in data or (not data[key] and not present_if_empty)
            ]
            if type_ in _JSON_TYPES and keys[0] in data:
                found += _json_errors(data[keys[0]], f"data[{keys[0]}]")
        return found

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        found = list(unchanged(obj, old, "type"))
        return found + immutability_errors(obj, old, ("data",)) + self.validate(obj)

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        if text(obj, "type") != _TLS:
            return ()
        data = mapping(obj, "data")
        return _key_pair_warnings(_decoded(data.get("tls.crt")), _decoded(data.get("tls.key")))

    def cells(self, obj: Object) -> list[Any] | None:
        return [text(obj, "type"), len(mapping(obj, "data")), age(obj)]

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"type": text(obj, "type")}


def _undecodable(data: dict[str, Any] | None, strings: dict[str, Any]) -> dict[str, Any]:
    """The values of ``data`` that are not base64 and that ``stringData`` would replace: the schema reports them."""
    sent = {key: value for key, value in (data or {}).items() if key in strings and value != ""}
    return {key: value for key, value in sent.items() if not isinstance(value, str) or not _IS_BASE64(value)}


def _json_errors(value: Any, path: str) -> list[FieldError]:
    try:
        content = base64.b64decode(value)
    except (TypeError, ValueError):
        return []  # not base64: the schema says so
    try:
        decoded = orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        return [field_errors.invalid(path, "<secret contents redacted>", str(problem))]
    if not isinstance(decoded, dict):
        return [field_errors.invalid(path, "<secret contents redacted>", "must be a JSON object")]
    return []


def _decoded(value: Any) -> bytes:
    return base64.b64decode(value) if isinstance(value, str) else b""


def _key_pair_warnings(certificate: bytes, key: bytes) -> tuple[str, ...]:
    """The warning of Go's TLS library about a certificate and a key that do not match. Shows neither of them."""
    from cryptography.exceptions import UnsupportedAlgorithm

    for content, name in ((certificate, "certificate"), (key, "key")):
        if _PEM not in content:
            return (f"tls: failed to find any PEM data in {name} input",)
    try:
        if key_matches(KeyPair(certificate, key)):
            return ()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return ("tls: failed to parse the certificate or the private key",)
    return ("tls: private key does not match public key",)
