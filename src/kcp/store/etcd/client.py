"""Calls to etcd over gRPC: several endpoints, TLS, authentication, and errors that tell a refusal from an unknown outcome.

There is one channel per endpoint; calls go to one endpoint until it fails, then to the next. Only `EtcdClient.repeatedly` repeats
a call: the sender of a transaction must find out its outcome.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from typing import Any, Final

from kcp.store.contract import StoreUnavailableError
from kcp.store.etcd import messages
from kcp.store.etcd.access import NO_SPACE, ConnectionOptions, endpoint_of, explained, material, refusal
from kcp.store.silent_grpc import load_grpc

_OPTIONS: Final = (
    # etcd closes connections that ping more often than every 5 s, or without a call in flight
    ("grpc.keepalive_time_ms", 7000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)
_ATTEMPT_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.1
_OLD_TOKEN: Final = ("revision of auth store is old", "revision in header is old")
"""Error texts of etcd 3.6 and 3.5 for a token signed before the last change of users; 3.5 has no code of its own for it."""
_HAS_LEADER: Final = ("hasleader", "true")


class UnknownOutcomeError(Exception):
    """The call may or may not have been executed."""


class RefusedError(Exception):
    """etcd refused the call, and would refuse it again. ``code`` is the name of gRPC's status code."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code


class NoSpaceError(RefusedError):
    """etcd has reached its quota. The write that exceeded it may have been executed all the same."""


class CompactedRevisionError(Exception):
    """etcd has compacted the requested revision; ``oldest`` is the oldest available one, 0 if unknown."""

    def __init__(self, oldest: int = 0) -> None:
        super().__init__(f"etcd has compacted the revision (oldest: {oldest})")
        self.oldest = oldest


class EtcdClient:
    """Calls to one etcd cluster, on one event loop. Raises EndpointError."""

    def __init__(self, connection: ConnectionOptions) -> None:
        grpc = self._grpc = load_grpc()
        self._connection = connection
        self._token = ""
        self._authenticating = asyncio.Lock()
        credentials = None
        self._calls: list[dict[str, Any]] = []
        self._channels = []
        endpoints = [endpoint_of(url) for url in connection.endpoints]
        random.shuffle(endpoints)
        self.endpoints = tuple(endpoint.url for endpoint in endpoints)
        """The endpoints, in the order in which they are tried."""
        for endpoint in endpoints:
            if endpoint.secure:
                credentials = credentials or grpc.ssl_channel_credentials(*material(connection))
                channel = grpc.aio.secure_channel(endpoint.target, credentials, options=_OPTIONS)
            else:
                channel = grpc.aio.insecure_channel(endpoint.target, options=_OPTIONS)
            self._channels.append(channel)
            self._calls.append(_calls(channel))
        self._current = 0
        self._accepted = False

    def move_on(self, failed: int) -> None:
        """Use the next endpoint, unless another call has already moved on."""
        if failed == self._current:
            self._current = (failed + 1) % len(self._calls)

    async def once(self, method: str, request: Any, timeout: float, *, endpoint: int | None = None) -> Any:
        """Attempt a call once, to the current endpoint or the given one.

        Raises UnknownOutcomeError, RefusedError, CompactedRevisionError.
        """
        for attempt in range(2):
            current = self._current if endpoint is None else endpoint
            try:
                metadata = await self._metadata(timeout)
                answer = await self._calls[current][method](request, timeout=timeout, metadata=metadata)
                self._accepted = True
                return answer
            except self._grpc.aio.AioRpcError as error:
                if self._token_expired(error) and not attempt:
                    self._token = ""
                    continue
                self._raise(error, current)
        raise AssertionError("unreachable")

    async def repeatedly(self, method: str, timeout: float, **fields: Any) -> Any:
        """Make an idempotent call, repeating it until the timeout. Raises StoreUnavailableError, and as `once`."""
        request = messages.make(messages.METHODS[method][1], **fields)
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                return await self.once(method, request, min(max(left, 0.05), _ATTEMPT_SECONDS))
            except UnknownOutcomeError as error:
                if not self._accepted and (why := await refusal(self._connection)):
                    raise StoreUnavailableError(why) from error
                if deadline - time.monotonic() < _PAUSE_SECONDS:
                    raise StoreUnavailableError(f"etcd does not answer: {error}") from error
                await asyncio.sleep(_PAUSE_SECONDS)

    async def watch(self, start: bytes, end: bytes, revision: int) -> AsyncGenerator[Any, None]:
        """Yield watch responses for a range of keys from a revision on, with fragments joined.

        Raises UnknownOutcomeError when the stream breaks, CompactedRevisionError, RefusedError.
        """
        current = self._current
        create = messages.make(
            "WatchCreateRequest",
            key=start,
            range_end=end,
            start_revision=revision,
            progress_notify=True,
            fragment=True,
        )
        stream = None
        try:
            stream = self._calls[current]["Watch"](metadata=await self._metadata(_ATTEMPT_SECONDS))
            await stream.write(messages.make("WatchRequest", create_request=create))
            response = None
            while (part := await stream.read()) is not self._grpc.aio.EOF:
                if part.canceled:
                    if part.compact_revision:
                        raise CompactedRevisionError(part.compact_revision)
                    self._forget_token(part.cancel_reason)
                    raise UnknownOutcomeError(part.cancel_reason or "the watch was cancelled")
                if response is None:
                    response = part
                else:
                    response.events.extend(part.events)
                if not part.fragment:
                    yield response
                    response = None
            raise UnknownOutcomeError("the watch ended")
        except self._grpc.aio.AioRpcError as error:
            if error.code() is self._grpc.StatusCode.UNAUTHENTICATED:
                self._token = ""
                raise UnknownOutcomeError(error.details()) from error
            self._raise(error, current)
        except asyncio.InvalidStateError as error:
            self.move_on(current)
            raise UnknownOutcomeError("the watch ended") from error
        except asyncio.CancelledError:
            self.move_on(current)  # the caller waited too long: this endpoint may be at fault
            raise
        finally:
            if stream is not None:
                stream.cancel()

    async def keep_alive(self, lease: int, timeout: float) -> int:
        """Renew a lease. Returns its remaining seconds, 0 if it has expired. Raises UnknownOutcomeError, RefusedError."""
        current = self._current
        try:
            async with asyncio.timeout(timeout):
                stream = self._calls[current]["LeaseKeepAlive"](metadata=await self._metadata(timeout))
                try:
                    await stream.write(messages.make("LeaseKeepAliveRequest", ID=lease))
                    answer = await stream.read()
                finally:
                    stream.cancel()
        except self._grpc.aio.AioRpcError as error:
            self._raise(error, current)
        except (TimeoutError, asyncio.InvalidStateError) as error:
            self.move_on(current)
            raise UnknownOutcomeError("no answer to the renewal of a lease") from error
        if answer is self._grpc.aio.EOF:
            self.move_on(current)
            raise UnknownOutcomeError("the renewal of a lease was cut off")
        return int(answer.TTL)

    async def versions(self, timeout: float) -> dict[str, str]:
        """Return the members' versions by endpoint, without members that do not answer in time or refuse to."""

        async def version(number: int) -> str:
            try:
                answer = await self.once("Status", messages.make("StatusRequest"), timeout, endpoint=number)
            except (UnknownOutcomeError, RefusedError):
                return ""
            return str(answer.version)

        found = await asyncio.gather(*map(version, range(len(self.endpoints))))
        return {endpoint: version for endpoint, version in sorted(zip(self.endpoints, found, strict=True)) if version}

    async def close(self) -> None:
        """Close every connection."""
        for channel in self._channels:
            await channel.close()

    def _raise(self, error: Any, endpoint: int) -> None:
        """Raise the error that gRPC's error stands for, and move on from an endpoint that is at fault."""
        code, details = error.code(), error.details() or ""
        codes = self._grpc.StatusCode
        if code is codes.OUT_OF_RANGE and "compacted" in details:
            raise CompactedRevisionError from error
        if code in (codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED, codes.CANCELLED, codes.UNKNOWN, codes.INTERNAL):
            self.move_on(endpoint)
            raise UnknownOutcomeError(details or code.name) from error
        refused = NoSpaceError if NO_SPACE in details else RefusedError
        raise refused(code.name, explained(details)) from error

    def _token_expired(self, error: Any) -> bool:
        """Whether a new token may help. A signed token also expires with any change of users and roles."""
        if not self._connection.username:
            return False
        old = any(words in (error.details() or "") for words in _OLD_TOKEN)
        return old or error.code() is self._grpc.StatusCode.UNAUTHENTICATED

    def _forget_token(self, reason: str) -> None:
        if "auth" in reason or "permission" in reason:
            self._token = ""

    async def _metadata(self, timeout: float) -> tuple[tuple[str, str], ...]:
        if not self._connection.username:
            return (_HAS_LEADER,)
        if not self._token:
            async with self._authenticating:
                if not self._token:
                    request = messages.make(
                        "AuthenticateRequest", name=self._connection.username, password=self._connection.password
                    )
                    answer = await self._calls[self._current]["Authenticate"](request, timeout=timeout)
                    self._token = answer.token
        return (_HAS_LEADER, ("token", self._token))


def _calls(channel: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    classes = messages.classes()
    for method, (service, request, response) in messages.METHODS.items():
        kind = channel.stream_stream if method in ("Watch", "LeaseKeepAlive") else channel.unary_unary
        found[method] = kind(
            f"/etcdserverpb.{service}/{method}",
            request_serializer=classes[request].SerializeToString,
            response_deserializer=classes[response].FromString,
        )
    return found
