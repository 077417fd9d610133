"""A real server in a thread of its own, and a plain client of the standard library."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import uvloop

from kcp.server.process.configuration import Configuration
from kcp.server.process.parts import Parts
from kcp.server.process.running import ServerProcess
from tests.support.waiting import PATIENCE

HELD = "the event loop was held for"
"""The beginning of a warning of a server on a machine that is slow or busy."""
TOKENS = 'jane-token,jane,u-jane,"devs"\nprobe-token,prometheus,u-probe,"system:monitoring"\n'


Value = TypeVar("Value")


@dataclass
class Answer:
    """A response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        return self.headers["Content-Type"]


class RunningServer:
    """One server, from construction to `stop`, or for the duration of a ``with`` block."""

    def __init__(self, root: Path, parts: Parts | None = None, **choices: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        tokens = root / "tokens.csv"
        tokens.write_text(TOKENS)
        choices.setdefault("token_auth_file", tokens)
        choices.setdefault("publish_root_ca", False)  # so that the ConfigMaps of a namespace are those of the test
        self.process = ServerProcess(Configuration(root_directory=root, secure_port=0, **choices), parts)
        self._started = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._started.wait()
        if self._problem is not None:
            raise self._problem
        self.token = (root / "data" / "admin.token").read_text()
        self.trust = ssl.create_default_context(cafile=str(root / "data" / "ca.crt"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        try:
            await self.process.start()
        except BaseException as error:
            self._problem = error
            return
        finally:
            self._started.set()
        await self._stop.wait()
        await self.process.stop()

    def call(self, function: Any, *arguments: Any) -> Any:
        """Run a function on the server's loop."""

        async def inside() -> Any:
            return function(*arguments)

        return self.submit(inside()).result(PATIENCE)

    def submit(self, work: Coroutine[Any, Any, Value]) -> concurrent.futures.Future[Value]:
        """Start a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(PATIENCE)
            assert not self._thread.is_alive(), "the server did not stop"

    @property
    def port(self) -> int:
        return self.process.address[1]

    def connect(self, context: ssl.SSLContext | None = None, timeout: float = PATIENCE) -> http.client.HTTPSConnection:
        """A connection of HTTP/1.1."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context or self.trust, timeout=timeout)

    def headers(self, token: str | None = "", **more: str) -> dict[str, str]:
        """Request headers; an empty token is the administrator's, None is none."""
        found = {name.replace("_", "-"): value for name, value in more.items()}
        if token is not None:
            found["Authorization"] = f"Bearer {token or self.token}"
        return found

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        context: ssl.SSLContext | None = None,
        **headers: str,
    ) -> Answer:
        """Send one request on a connection of its own."""
        sent = self.headers(token, **headers)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        with contextlib.closing(self.connect(context)) as connection:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, path: str, **more: Any) -> Answer:
        return self.ask("GET", path, **more)

    def post(self, path: str, body: Any, **more: Any) -> Answer:
        return self.ask("POST", path, body, **more)

    @contextlib.contextmanager
    def watch(self, path: str, **headers: str) -> Iterator[Iterator[Any]]:
        """Yield the events of a watch; closing the generator disconnects."""
        connection = self.connect()
        connection.request("GET", path, headers=self.headers(**headers))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        try:
            yield (json.loads(line) for line in response)
        finally:
            response.close()
            connection.close()
