"""An incoming request: its head, its body, and what the steps of a request find out about it."""

from __future__ import annotations

import itertools
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, Final

from kcp.api import documents, errors
from kcp.auth.users import ANONYMOUS, CLUSTER_NAME, MASTERS, User
from kcp.logical_clusters import UNNAMED, LogicalClusterName
from kcp.registry.restrictions import WriteRestriction
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.large_work import LARGE
from kcp.server.requests.asgi import Header, Message, Receive, Scope, Started
from kcp.server.requests.deadlines import TIMED_OUT
from kcp.server.requests.inflight import Slot
from kcp.server.requests.receiving import CLOSE, Receiving
from kcp.server.requests.request_info import RequestInfo

if TYPE_CHECKING:
    from kcp.server.audit.trail import AuditedRequest

MAX_BODY: Final = documents.MAX_BYTES
"""Bytes of the largest request body, as in kube-apiserver."""
MAX_HEAD: Final = 128 * 1024
"""Bytes of the largest request head: the target and all fields, each counted as in RFC 9113, section 6.5.2."""
_FIELD_OVERHEAD: Final = 32
_PRETTY_AGENTS: Final = (b"curl", b"Wget", b"Mozilla/5.0")
_AUDIT_ID_LENGTH: Final = 64
"""Bytes of a client's ``Audit-Id`` that are kept."""
_PROCESS: Final = str(uuid.uuid4())[:24].encode()
_NUMBERS: Final = itertools.count(random.getrandbits(40))
_TWELVE_DIGITS: Final = 0xFFFFFFFFFFFF
_NO_CERTIFICATES: Final[Sequence[str]] = ()

WaitForPermit = Callable[[int], Awaitable[None]]
"""Waits until a write with a large body may be decoded; called with the size of the body (`kcp.registry.verbs.large_writes`)."""


class _Body:
    """What has arrived of a body, its bytes, and whether more follows."""

    __slots__ = ("_first", "_limit", "_others", "more", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._first = b""
        self._others: BytesIO | None = None
        self.size = 0
        self.more = True

    def add(self, event: Message) -> None:
        """Add a part. Raises StatusError 400 when the client has disconnected, 413 when the body exceeds the limit."""
        if event["type"] == "http.disconnect":
            raise errors.bad_request("the request's body broke off")
        part: bytes = event.get("body", b"")
        if self.size:
            self._append(part)
        else:
            self._first = part
        self.size += len(part)
        if self.size > self._limit:
            raise _too_large(self._limit)
        self.more = event.get("more_body", False)

    def _append(self, part: bytes) -> None:
        """Add a further part to the others, not beside them: a list of parts would be there beside the whole body."""
        if self._others is None:
            self._others = BytesIO()
            self._others.write(self._first)
        self._others.write(part)

    def take(self) -> bytes:
        """Return the whole body."""
        return self._first if self._others is None else self._others.getvalue()  # the buffer itself, not a copy


class IncomingRequest:
    """A request. The steps that determine them set ``info``, ``type``, ``user``, ``impersonator``, ``restriction`` and ``audit``.

    ``audit`` is None for a request that the audit policy does not record.
    """

    __slots__ = (
        "_receive",
        "_receiving",
        "audit",
        "audit_id",
        "body_size",
        "headers",
        "impersonator",
        "info",
        "may_impersonate",
        "raw_headers",
        "restriction",
        "scope",
        "slot",
        "started",
        "type",
        "uncharged",
        "user",
        "warnings",
    )

    may_impersonate: bool
    """Whether a header field may ask for impersonation; set by `check_head`."""

    def __init__(self, scope: Scope, receive: Receive, receiving: Receiving) -> None:
        """``receiving`` limits the bodies that are received at a time, and the time in which the client must send one."""
        self.scope = scope
        self._receive = receive
        self._receiving = receiving
        self.started = time.perf_counter()
        self.raw_headers: list[Header] = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(self.raw_headers)
        audit_id = self.headers.get(b"audit-id")
        self.audit_id = audit_id[:_AUDIT_ID_LENGTH] if audit_id else new_audit_id()
        self.audit: AuditedRequest | None = None
        self.info: RequestInfo | None = None
        self.type: ResourceType | None = None
        self.user: User = ANONYMOUS
        self.impersonator: User | None = None
        self.restriction: WriteRestriction | None = None
        self.warnings: list[str] = []
        self.body_size = 0
        self.slot: Slot | None = None
        self.uncharged = 0.0
        """Seconds of the event loop that were used before the request had a slot."""

    @property
    def method(self) -> str:
        """The HTTP method."""
        return str(self.scope["method"])

    @property
    def cluster(self) -> LogicalClusterName:
        """The logical cluster of the request, once its head is read."""
        return self.info.cluster if self.info is not None else UNNAMED

    @property
    def is_local(self) -> bool:
        """Whether the user has its name in the logical cluster of the request only: its owner may choose any name.

        So it is for a user of a service account, of a certificate that the logical cluster's signer made, and for one whom a user
        impersonates by a permission in the logical cluster.
        """
        impersonator = self.impersonator
        return CLUSTER_NAME in self.user.extra or (impersonator is not None and MASTERS not in impersonator.groups)

    @property
    def path(self) -> str:
        """The decoded path after the logical cluster, once the head is read."""
        if self.info is None:
            return ""
        return self.info.path or "/" + "/".join(self.info.parts)

    @property
    def user_agent(self) -> str:
        """The ``User-Agent`` header."""
        return self.headers.get(b"user-agent", b"").decode("latin-1")

    @property
    def accept(self) -> bytes:
        """The ``Accept`` header."""
        return self.headers.get(b"accept", b"")

    @property
    def certificate_chain(self) -> Sequence[str]:
        """The client's certificates in PEM form, leaf first, where the HTTP server has the ASGI extension ``tls``."""
        try:
            return self.scope["extensions"]["tls"]["client_cert_chain"] or _NO_CERTIFICATES
        except (KeyError, TypeError):
            return _NO_CERTIFICATES

    @property
    def pretty(self) -> bool:
        """Whether JSON is indented: when ``pretty`` asks for it, or by default for curl, Wget and browsers."""
        info = self.info
        if info is not None and info.query and (asked := info.query.optional_flag("pretty")) is not None:
            return asked
        return self.headers.get(b"user-agent", b"").startswith(_PRETTY_AGENTS)

    @property
    def accepts_gzip(self) -> bool:
        """Whether ``Accept-Encoding`` lists gzip with a quality above 0."""
        offered = self.headers.get(b"accept-encoding", b"")
        if b"gzip" not in offered:
            return False
        for entry in offered.split(b","):
            name, _, quality = entry.partition(b";")
            if name.strip() == b"gzip":
                return quality.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
        return False

    def check_head(self) -> None:
        """Check the size of the head, and whether it asks for impersonation. Raises StatusError 431."""
        headers, scope = self.raw_headers, self.scope
        text = b"".join(chain.from_iterable(headers))
        self.may_impersonate = text.find(b"impersonate-") >= 0  # `in` raises and catches an exception
        size = (
            _FIELD_OVERHEAD * len(headers) + len(text) + len(scope.get("raw_path") or b"") + len(scope["query_string"])
        )
        if size > MAX_HEAD:
            message = f"the head of the request (its target and header fields) is too large: limit is {MAX_HEAD} bytes"
            raise errors.StatusError(431, "RequestHeaderFieldsTooLarge", message)

    async def body(self, limit: int = MAX_BODY, wait_for_permit: WaitForPermit | None = None) -> bytes:
        """Read the whole body.

        A large body still counts as being received while ``wait_for_permit``, which gets its size, waits for its permit.

        Raises StatusError 413 as soon as it exceeds the limit, 415 when it is compressed, 429 when too much is being received or
        too many requests are in flight, 504 when it does not arrive in time or does not get its permit.
        """
        headers = self.headers
        encoding = headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            raise errors.StatusError(415, "UnsupportedMediaType", "the body may not have a Content-Encoding")
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        body = _Body(limit)
        while body.more:
            receiving = Started(self._receive())
            if receiving.done:
                body.add(receiving.result)
            else:
                await self._wait_for_rest(receiving, body)
        size = self.body_size = body.size
        if size >= LARGE and wait_for_permit is not None:
            await self._wait_for_permit(size, wait_for_permit)
        return body.take()

    async def _wait_for_permit(self, size: int, wait_for_permit: WaitForPermit) -> None:
        """Wait for the permit of a large body, which counts as being received meanwhile."""
        try:
            with self._receiving.start(self.client) as reception:
                reception.grow(size)
                await wait_for_permit(size)
        except TimeoutError:
            raise errors.StatusError(504, "Timeout", TIMED_OUT, details={}, headers=CLOSE) from None

    async def _wait_for_rest(self, receiving: Started[Message], body: _Body) -> None:
        """Receive what has not arrived yet of a body. The request does not count as in flight meanwhile."""
        slot = self.slot
        if slot is not None:
            slot.leave()
        try:
            with self._receiving.start(self.client) as reception:
                reception.grow(body.size)
                counted = body.size
                body.add(await receiving)
                while body.more:
                    reception.grow(body.size - counted)
                    counted = body.size
                    body.add(await self._receive())
        except TimeoutError:
            message = f"the request's body did not arrive within {self._receiving.deadlines.seconds:g} seconds"
            raise errors.StatusError(504, "Timeout", message, details={}, headers=CLOSE) from None
        if slot is not None and not slot.enter():
            await slot.wait()

    @property
    def address(self) -> str:
        """The client's address."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def client(self) -> str:
        """The client whose limit on bodies applies: the user, or the address of an anonymous client."""
        name, uid = self.user.name, self.user.uid
        if self.is_local:
            return f"{name} {uid} in {self.cluster}"
        if name != ANONYMOUS.name:
            return f"{name} {uid}" if uid else name
        client = self.scope.get("client")
        return f"{name} at {client[0]}" if client else name

    async def disconnected(self) -> None:
        """Return when the client has disconnected. Some HTTP servers cancel the request instead."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


def new_audit_id() -> bytes:
    """Return a UUID made of a random part of this process and a counter with a random start."""
    return _PROCESS + (next(_NUMBERS) & _TWELVE_DIGITS).to_bytes(6).hex().encode()


def _too_large(limit: int) -> errors.StatusError:
    refusal = errors.request_entity_too_large(f"limit is {limit}")
    refusal.headers = CLOSE
    return refusal
