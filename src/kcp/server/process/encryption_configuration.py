"""The file of ``--encryption-provider-config``: an EncryptionConfiguration of apiserver.config.k8s.io/v1.

Decoding is strict, and the rules and messages are those of kube-apiserver (k8s.io/apiserver,
``apis/apiserver/validation/validation_encryption.go``). No message shows a secret.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kcp.api import field_errors
from kcp.api.field_errors import FieldError, invalid, required
from kcp.schema.configuration_files import STRING, FileKind, list_of, object_of, seconds_of
from kcp.server.process import encrypted_resources, flag_files
from kcp.server.process.errors import ConfigurationError
from kcp.store.contract import OptionError
from kcp.store.encryption.kms.client import MISSING_GRPC, is_grpc_missing
from kcp.store.encryption.options import FLAG, KMSOptions, NamedKey, ProviderOptions, Rule

_KEYS: Final = object_of(keys=list_of(object_of(name=STRING, secret=STRING)))
_PROVIDERS: Final[dict[str, dict[str, Any]]] = {
    "kms": object_of(apiVersion=STRING, name=STRING, cachesize={"type": "integer"}, endpoint=STRING, timeout=STRING),
    "aesgcm": _KEYS,
    "aescbc": _KEYS,
    "secretbox": _KEYS,
    "identity": object_of(),
}
FILE: Final = FileKind(
    "EncryptionConfiguration",
    ("apiserver.config.k8s.io/v1",),
    object_of(resources=list_of(object_of(resources=list_of(STRING), providers=list_of(object_of(**_PROVIDERS))))),
)
_AES: Final = (16, 24, 32)
_KEY_SIZES: Final = {"aesgcm": _AES, "aescbc": _AES, "secretbox": (32,)}
_KMS_TIMEOUT: Final = 3.0


def read(path: Path) -> list[Rule]:
    """Read the file. Raises OptionError with all that is wrong, in one line."""
    try:
        return flag_files.read(FLAG, path, parse)
    except ConfigurationError as error:
        raise OptionError(str(error)) from error


def parse(content: bytes) -> list[Rule]:
    """Decode and validate the content of a file. Raises ValueError with all that is wrong, in one line."""
    reading = _Reading()
    rules = reading.rules(FILE.decode(content))
    errors = reading.errors or encrypted_resources.order_errors([rule.resources for rule in rules])
    if errors:
        raise ValueError(field_errors.join([str(error) for error in errors]))
    if is_grpc_missing() and any(provider.kms for rule in rules for provider in rule.providers):
        raise ValueError(MISSING_GRPC)
    return rules


class _Reading:
    """Reads the rules of a decoded file, and collects what is wrong with them."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self._kms_names: set[str] = set()

    def rules(self, document: dict[str, Any]) -> list[Rule]:
        """Read the rules."""
        found = document.get("resources") or []
        if not found:
            self.errors.append(required("resources", "at least one resources is required"))
        return [self._rule(value, f"resources[{index}]") for index, value in enumerate(found)]

    def _rule(self, content: dict[str, Any], path: str) -> Rule:
        resources = tuple(content.get("resources") or ())
        if not resources:
            self._require_one(f"{path}.resources")
        self.errors += encrypted_resources.name_errors(resources, f"{path}.resources")
        providers = content.get("providers") or []
        if not providers:
            self._require_one(f"{path}.providers")
        read = [self._provider(each, f"{path}.providers[{index}]") for index, each in enumerate(providers)]
        return Rule(resources, tuple(read))

    def _require_one(self, path: str) -> None:
        self.errors.append(required(path, f"at least one {path} is required"))

    def _provider(self, content: dict[str, Any], path: str) -> ProviderOptions:
        kinds = [kind for kind, options in content.items() if options is not None]
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
            return ProviderOptions(kind)
        if kind == "kms":
            return ProviderOptions(kind, kms=self._kms(options, inner))
        keys = options.get("keys") or []
        if not keys:
            self.errors.append(required(f"{inner}.keys", "at least one keys is required"))
        sizes = _KEY_SIZES[kind]
        return ProviderOptions(
            kind, tuple(self._key(each, f"{inner}.keys[{index}]", sizes) for index, each in enumerate(keys))
        )

    def _key(self, content: dict[str, Any], path: str, sizes: tuple[int, ...]) -> NamedKey:
        name, encoded = content.get("name") or "", content.get("secret") or ""
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
        name = content.get("name") or ""
        self.errors += self._kms_name_errors(name, f"{path}.name")
        timeout = self._timeout(content, path)
        endpoint = content.get("endpoint") or ""
        self.errors += _endpoint_errors(endpoint, f"{path}.endpoint")
        version = content.get("apiVersion") or "v1"
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
        seconds = seconds_of(text)
        if seconds is None:
            self.errors.append(invalid(f"{path}.timeout", text, "must be a duration such as 3s"))
        elif seconds <= 0:
            self.errors.append(invalid(f"{path}.timeout", text, "timeout should be a positive value"))
        return seconds or _KMS_TIMEOUT


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
