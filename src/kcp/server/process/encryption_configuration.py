"""The file of ``--encryption-provider-config``: an EncryptionConfiguration of apiserver.config.k8s.io/v1.

Decoding is strict, and the rules and messages are those of kube-apiserver (k8s.io/apiserver,
``apis/apiserver/validation/validation_encryption.go``). No message shows a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kcp.api import field_errors
from kcp.api.field_errors import FieldError, invalid, required
from kcp.server.process import encrypted_resources
from kcp.store.contract import OptionError
from kcp.store.encryption.kms.client import MISSING_GRPC, KMSOptions, is_grpc_missing
from kcp.store.encryption.options import FLAG, NamedKey, ProviderOptions, Rule

API_VERSION: Final = "apiserver.config.k8s.io/v1"
KIND: Final = "EncryptionConfiguration"
_MAX_BYTES: Final = 1 << 20
_MAX_DEPTH: Final = 20
_AES: Final = (16, 24, 32)
_KEY_SIZES: Final[Mapping[str, tuple[int, ...]]] = {"aesgcm": _AES, "aescbc": _AES, "secretbox": (32,)}
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"apiVersion", "kind", "metadata", "resources"}),
    "resources": frozenset({"resources", "providers"}),
    "provider": frozenset({"kms", "aesgcm", "aescbc", "secretbox", "identity"}),
    "keys": frozenset({"keys"}),
    "key": frozenset({"name", "secret"}),
    "kms": frozenset({"apiVersion", "name", "cachesize", "endpoint", "timeout"}),
    "identity": frozenset(),
}
"""The fields of each part of the file."""
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|µs|ms|s|m|h))+", re.ASCII)
_DURATION_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)", re.ASCII)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_KMS_TIMEOUT: Final = 3.0


def read(path: Path) -> list[Rule]:
    """Read the file. Raises OptionError with all that is wrong, in one line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OptionError(f"{FLAG}: cannot read {path}: {error.strerror}") from error
    try:
        return parse(content)
    except ValueError as error:
        raise OptionError(f"{FLAG}: {path}: {error}") from error


def parse(content: bytes) -> list[Rule]:
    """Decode and validate the content of a file. Raises ValueError with all that is wrong, in one line."""
    from kcp.api import yaml_documents, yaml_expansion, yaml_input

    try:
        document, duplicates = yaml_documents.load(content, max_depth=_MAX_DEPTH, max_size=_MAX_BYTES)
    except (yaml_input.YAMLError, yaml_expansion.ExpansionError) as error:
        raise ValueError(f"it cannot be decoded: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise ValueError(f"it is no {KIND}")
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, KIND):
        raise ValueError(f"apiVersion and kind must be {API_VERSION} and {KIND}")
    decoder = _Decoder()
    rules = decoder.rules(document)
    strict = [f'duplicate field "{path}"' for path in duplicates] + decoder.strict
    if strict:
        raise ValueError(f"strict decoding error: {field_errors.join(strict)}")
    errors = decoder.errors or encrypted_resources.order_errors([rule.resources for rule in rules])
    if errors:
        raise ValueError(field_errors.join([str(error) for error in errors]))
    if is_grpc_missing() and any(provider.kms for rule in rules for provider in rule.providers):
        raise ValueError(MISSING_GRPC)
    return rules


class _Decoder:
    """Decodes a document and collects what is wrong: violations of the schema, and of the rules."""

    def __init__(self) -> None:
        self.strict: list[str] = []
        self.errors: list[FieldError] = []
        self._kms_names: set[str] = set()

    def rules(self, document: dict[str, Any]) -> list[Rule]:
        """Decode the rules."""
        self._check_fields(document, "", "")
        found = self._list(document, "resources", "resources")
        if not found:
            self.errors.append(required("resources", "at least one resources is required"))
        return [self._rule(value, f"resources[{index}]") for index, value in enumerate(found)]

    def _rule(self, value: Any, path: str) -> Rule:
        content = self._object(value, path, "resources")
        resources = tuple(self._texts(content, "resources", f"{path}.resources"))
        if not resources:
            self._require_one(f"{path}.resources")
        self.errors += encrypted_resources.name_errors(resources, f"{path}.resources")
        providers = self._list(content, "providers", f"{path}.providers")
        if not providers:
            self._require_one(f"{path}.providers")
        decoded = [self._provider(each, f"{path}.providers[{index}]") for index, each in enumerate(providers)]
        return Rule(resources, tuple(decoded))

    def _require_one(self, path: str) -> None:
        self.errors.append(required(path, f"at least one {path} is required"))

    def _provider(self, value: Any, path: str) -> ProviderOptions:
        content = self._object(value, path, "provider")
        kinds = [kind for kind, options in content.items() if options is not None and kind in _FIELDS["provider"]]
        if not kinds:
            detail = "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity"
            self.errors.append(invalid(path, field_errors.ABSENT, detail))
            return ProviderOptions("identity")
        if len(kinds) > 1:
            detail = "more than one provider specified in a single element, should split into different list elements"
            self.errors.append(invalid(path, sorted(kinds), detail))
        kind = kinds[0]
        options, inner = content[kind], f"{path}.{kind}"
        if kind == "identity":
            self._object(options, inner, "identity")
            return ProviderOptions(kind)
        if kind == "kms":
            return ProviderOptions(kind, kms=self._kms(self._object(options, inner, "kms"), inner))
        keys = self._list(self._object(options, inner, "keys"), "keys", f"{inner}.keys")
        if not keys:
            self.errors.append(required(f"{inner}.keys", "at least one keys is required"))
        sizes = _KEY_SIZES[kind]
        return ProviderOptions(
            kind, tuple(self._key(each, f"{inner}.keys[{index}]", sizes) for index, each in enumerate(keys))
        )

    def _key(self, value: Any, path: str, sizes: tuple[int, ...]) -> NamedKey:
        content = self._object(value, path, "key")
        name, encoded = self._text(content, "name", path), self._text(content, "secret", path)
        if not name:
            self.errors.append(required(f"{path}.name", "name is a mandatory field for a key"))
        if not encoded:
            self.errors.append(required(f"{path}.secret", "secret is a mandatory field for a key"))
            return NamedKey(name, b"")
        secret = b""
        try:
            secret = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            self.errors.append(invalid(f"{path}.secret", "REDACTED", "secrets must be base64 encoded"))
            return NamedKey(name, secret)
        if len(secret) not in sizes:
            expected = " ".join(map(str, sizes))
            detail = f"secret is not of the expected length, got {len(secret)}, expected one of [{expected}]"
            self.errors.append(invalid(f"{path}.secret", "REDACTED", detail))
        return NamedKey(name, secret)

    def _kms(self, content: dict[str, Any], path: str) -> KMSOptions:
        name = self._text(content, "name", path)
        self.errors += self._kms_name_errors(name, f"{path}.name")
        timeout = self._timeout(content, path)
        endpoint = self._text(content, "endpoint", path)
        self.errors += _endpoint_errors(endpoint, f"{path}.endpoint")
        version = self._text(content, "apiVersion", path) or "v1"
        if version == "v1":
            detail = "KMS v1 is deprecated in Kubernetes and not supported, only v2 is: use a plugin that implements v2"
            self.errors.append(invalid(f"{path}.apiVersion", version, detail))
        elif version != "v2":
            detail = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
            self.errors.append(invalid(f"{path}.apiVersion", version, detail))
        elif content.get("cachesize") is not None:
            self.errors.append(invalid(f"{path}.cachesize", content["cachesize"], "cachesize is not supported in v2"))
        return KMSOptions(name, endpoint, timeout)

    def _kms_name_errors(self, name: str, path: str) -> Iterator[FieldError]:
        if not name:
            yield required(path, "name is a mandatory field for a provider")
            return
        if ":" in name:
            yield invalid(path, name, f"invalid KMS provider name {name}, must not contain ':'")
        if name in self._kms_names:
            yield invalid(path, name, f"duplicate KMS provider name {name}, names must be unique")
        self._kms_names.add(name)

    def _timeout(self, content: dict[str, Any], path: str) -> float:
        text = content.get("timeout")
        if text is None:
            return _KMS_TIMEOUT
        if not isinstance(text, str) or not _DURATION.fullmatch(text.removeprefix("-") or ""):
            if text != "0":
                self.strict.append(f'"{path}.timeout" is not a duration such as 3s')
                return _KMS_TIMEOUT
            text = "0s"
        seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
        if text.startswith("-") or not seconds:
            self.errors.append(invalid(f"{path}.timeout", text, "timeout should be a positive value"))
            return _KMS_TIMEOUT
        return seconds

    # the JSON types of fields

    def _object(self, value: Any, path: str, part: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            if value is not None:
                self.strict.append(f'"{path}" is not an object')
            return {}
        self._check_fields(value, path, part)
        return value

    def _check_fields(self, content: dict[str, Any], path: str, part: str) -> None:
        for name in content:
            if name not in _FIELDS[part]:
                where = f"{path}.{name}" if path else name
                self.strict.append(f'unknown field "{where}"')

    def _list(self, content: dict[str, Any], name: str, path: str) -> list[Any]:
        value = content.get(name)
        if value is not None and not isinstance(value, list):
            self.strict.append(f'"{path}" is not a list')
        return value if isinstance(value, list) else []

    def _text(self, content: dict[str, Any], name: str, path: str) -> str:
        value = content.get(name)
        if value is not None and not isinstance(value, str):
            self.strict.append(f'"{path}.{name}" is not a string')
        return value if isinstance(value, str) else ""

    def _texts(self, content: dict[str, Any], name: str, path: str) -> Iterator[str]:
        for index, value in enumerate(self._list(content, name, path)):
            if isinstance(value, str):
                yield value
            else:
                self.strict.append(f'"{path}[{index}]" is not a string')


def _endpoint_errors(endpoint: str, path: str) -> Iterator[FieldError]:
    if not endpoint:
        yield invalid(path, "", "endpoint is a mandatory field for a kms")
        return
    try:
        scheme = urlsplit(endpoint).scheme
    except ValueError as error:
        yield invalid(path, endpoint, f"invalid endpoint for kms provider, error: {error}")
        return
    if scheme != "unix":
        yield invalid(path, endpoint, f'unsupported scheme "{scheme}" for KMS provider, only unix is supported')
