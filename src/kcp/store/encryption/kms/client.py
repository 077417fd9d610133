"""Calls of a KMS plugin over its Unix socket.

The calls block: a server makes them in a thread, a command directly. gRPC is an optional dependency and imported here only.
"""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from kcp.store.encryption.kms import messages
from kcp.store.encryption.options import KMSOptions
from kcp.store.silent_grpc import load_grpc

MISSING_GRPC: Final = "kms providers need gRPC: pip install 'kcp-apiserver[etcd]'"
_API_VERSIONS: Final = ("v2", "v2beta1")


class KMSError(Exception):
    """A call failed, or its answer is not one of the plugin API; the message names the provider."""


class EncryptedSource(NamedTuple):
    """A key source as the service encrypted it, with all that it needs to decrypt it: `messages.KEY` or `messages.SEED`."""

    type: int
    ciphertext: bytes
    key_id: str
    annotations: tuple[tuple[str, bytes], ...] = ()


def is_grpc_missing() -> bool:
    """Whether gRPC is not installed."""
    return importlib.util.find_spec("grpc") is None


class KMSClient:
    """The three calls of the plugin API."""

    def __init__(self, options: KMSOptions) -> None:
        self._options = options
        self._channel: Any = None

    def status(self) -> str:
        """Return the ID of the key that the service encrypts with. Raises KMSError, also for an unhealthy service."""
        answer = self._call("Status")
        if answer.version not in _API_VERSIONS:
            raise self._error(f"it implements version {answer.version or '(none)'} of the plugin API, not v2")
        if answer.healthz != "ok":
            raise self._error(f"it is not healthy: {answer.healthz[:200]}")
        return self._key_id(answer.key_id)

    def encrypt(self, plaintext: bytes) -> EncryptedSource:
        """Encrypt a seed. Raises KMSError."""
        answer = self._call("Encrypt", plaintext=plaintext, uid=str(uuid.uuid4()))
        annotations = tuple(sorted((each.key, each.value) for each in answer.annotations))
        source = EncryptedSource(messages.SEED, answer.ciphertext, self._key_id(answer.key_id), annotations)
        if problem := source_problem(source):
            raise self._error(f"its answer to Encrypt is invalid: {problem}")
        return source

    def decrypt(self, source: EncryptedSource) -> bytes:
        """Decrypt a key source. Raises KMSError."""
        annotations = [messages.make("Annotation", key=key, value=value) for key, value in source.annotations]
        answer = self._call(
            "Decrypt",
            ciphertext=source.ciphertext,
            uid=str(uuid.uuid4()),
            key_id=source.key_id,
            annotations=annotations,
        )
        return bytes(answer.plaintext)

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _key_id(self, key_id: str) -> str:
        if not key_id or len(key_id.encode()) > _MAX_KEY_ID:
            raise self._error(f"the ID of its key has {len(key_id.encode())} bytes, not 1 to {_MAX_KEY_ID}")
        return key_id

    def _call(self, method: str, **fields: Any) -> Any:
        grpc = load_grpc()
        if self._channel is None:
            # no proxy for a socket of this machine, and a plugin that restarts is reached again soon
            options: Mapping[str, int] = {"grpc.enable_http_proxy": 0, "grpc.max_reconnect_backoff_ms": 2000}
            self._channel = grpc.insecure_channel(target_of(self._options.endpoint), list(options.items()))
        call = self._channel.unary_unary(
            f"/{messages.SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=lambda content: messages.parse(f"{method}Response", content),
        )
        try:
            return call(messages.make(f"{method}Request", **fields), timeout=self._options.timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise self._error(f"no answer to {method} within {self._options.timeout:g} s") from error
            raise self._error(f"{method}: {code.name}: {(error.details() or '')[:200]}") from error

    def _error(self, problem: str) -> KMSError:
        return KMSError(f'kms provider "{self._options.name}" at {self._options.endpoint}: {problem}')


_MAX_KEY_ID: Final = 1024
_MAX_SOURCE: Final = 1024
_MAX_ANNOTATIONS: Final = 32 * 1024


def source_problem(source: EncryptedSource) -> str | None:
    """What is wrong with a key source, by Kubernetes' limits; None if nothing is."""
    if source.type not in (messages.KEY, messages.SEED):
        return f"the type {source.type} of its key source is unknown"
    if not 0 < len(source.ciphertext) <= _MAX_SOURCE:
        return f"its key source has {len(source.ciphertext)} bytes, not 1 to {_MAX_SOURCE}"
    if not 0 < len(source.key_id.encode()) <= _MAX_KEY_ID:
        return f"the ID of its key has {len(source.key_id.encode())} bytes, not 1 to {_MAX_KEY_ID}"
    if sum(len(key) + len(value) for key, value in source.annotations) > _MAX_ANNOTATIONS:
        return f"its annotations have more than {_MAX_ANNOTATIONS} bytes"
    return None


def target_of(endpoint: str) -> str:
    """Return gRPC's target of an endpoint: ``unix:///path``, or ``unix:///@name`` for an abstract socket."""
    path = urlsplit(endpoint).path
    return f"unix-abstract:{path[2:]}" if path.startswith("/@") else f"unix:{path}"
