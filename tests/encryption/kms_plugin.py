"""A KMS plugin: a gRPC server over a Unix socket that encrypts with keys in memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kcp.store.encryption.kms import messages
from kcp.store.silent_grpc import load_grpc

if TYPE_CHECKING:
    import grpc
else:
    grpc = load_grpc()

_NONCE = 12
_TAG = "version.encrypted-kek.example.com"


class Plugin:
    """The keys by ID, the ID of the current one, and what the plugin says of itself."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.keys = {"key-1": os.urandom(32)}
        self.key_id = "key-1"
        self.healthz = "ok"
        self.version = "v2"
        self.calls: list[str] = []
        self.hanging = threading.Event()
        """While it is set, no call is answered."""
        self._server: grpc.Server | None = None

    @property
    def endpoint(self) -> str:
        """The endpoint for a configuration."""
        return f"unix://{self.socket}"

    def rotate(self, key_id: str) -> None:
        """Encrypt with a new key from now on; older ones still decrypt."""
        self.keys[key_id] = os.urandom(32)
        self.key_id = key_id

    def status(self, _request: Any) -> Any:
        """Say the current key."""
        return messages.make("StatusResponse", version=self.version, healthz=self.healthz, key_id=self.key_id)

    def encrypt(self, request: Any) -> Any:
        """Encrypt with the current key."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + AESGCM(self.keys[self.key_id]).encrypt(nonce, request.plaintext, self.key_id.encode())
        annotation = messages.make("Annotation", key=_TAG, value=b"1")
        return messages.make("EncryptResponse", ciphertext=sealed, key_id=self.key_id, annotations=[annotation])

    def decrypt(self, request: Any) -> Any:
        """Decrypt with the key that the request names. Raises KeyError, InvalidTag."""
        assert {each.key for each in request.annotations} == {_TAG}
        cipher = AESGCM(self.keys[request.key_id])
        sealed = request.ciphertext
        plain = cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], request.key_id.encode())
        return messages.make("DecryptResponse", plaintext=plain)

    def start(self) -> None:
        """Begin to listen."""
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                self._handler(name, method),
                request_deserializer=lambda content, name=name: messages.parse(f"{name}Request", content),
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, method in (("Status", self.status), ("Encrypt", self.encrypt), ("Decrypt", self.decrypt))
        }
        server = self._server = grpc.server(ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(messages.SERVICE, handlers),))
        server.add_insecure_port(f"unix:{self.socket}")
        server.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.stop(None).wait()
            self._server = None

    def _handler(self, name: str, method: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def handle(request: Any, context: Any) -> Any:
            self.calls.append(name)
            while self.hanging.is_set() and context.is_active():
                threading.Event().wait(0.01)
            try:
                return method(request)
            except (KeyError, InvalidTag) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"cannot decrypt: {type(error).__name__}")

        return handle


@contextmanager
def plugin_at(socket: Path) -> Iterator[Plugin]:
    """A running plugin."""
    plugin = Plugin(socket)
    plugin.start()
    try:
        yield plugin
    finally:
        plugin.hanging.clear()
        plugin.stop()
