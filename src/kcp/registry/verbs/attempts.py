"""Attempts of a write: the value that its steps work on, and the loop that runs them until no other write interferes.

A write starts from the newest state that this server knows, without asking whether another server has written since. If so, the
commit fails and the write is attempted again from the newer state. A refused write has no commit that could fail, so a refusal
that depends on the state (404, 409) is returned only once the state is current and durable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kcp.api import errors
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, Target, Written
from kcp.registry.verbs.large_writes import Permit
from kcp.registry.verbs.source import Source
from kcp.store.contract import Condition, Record

Object = dict[str, Any]
Attempt = Callable[["Write"], Awaitable[Written | None]]

RETRIES: Final = 50
_DEPENDS_ON_STATE: Final = frozenset({404, 409})


@dataclass
class Write:
    """A write in progress.

    The first group of fields is what the request asks for. The second is the state of one attempt: the steps of the write set it
    from the top to the bottom of `kcp.registry.verbs.writing.Writer`.
    """

    context: RequestContext
    target: Target
    verb: str
    """``create``, ``update`` (replace, patch, apply) or ``delete``."""
    body: Object | None = None
    """The object that the client sent (create, replace). Other writes have ``change``."""
    change: Callable[[Write], Any] | None = None
    """Makes the wanted state from ``old``, which it must not change. Returns ``old`` itself where there is nothing to do."""
    field_validation: str = ""
    problems: Sequence[str] = ()
    """What strict field validation refuses in the request itself: duplicate fields."""
    resource_version: str = ""
    uid: str = ""
    """Preconditions: the state and the object that may be replaced; "" is any."""
    may_create: bool = False
    trusted: bool = False
    """``change`` is the server's own: its result needs no decode check, place and shape."""
    checked: bool = False
    """Kind, name and namespace were checked in the request: the result of ``change`` needs no decode check and place (apply)."""
    owned: bool = False
    """The managed fields of the new state are right already (apply)."""
    options: DeleteOptions | None = None
    size: int = 0
    """Bytes of JSON that the steps work on, the body and the present state: large work leaves the event loop."""

    permit: Permit | None = field(default=None, init=False)
    """The permit of a large write, where the write itself has acquired it. All attempts share it."""
    has_permit: bool = field(default=False, init=False)
    """Whether a permit was acquired, here or for the body."""
    record: Record | None = field(default=None, init=False)
    old: Object | None = field(default=None, init=False)
    operation: str = field(default="", init=False)
    """``CREATE``, ``UPDATE`` or ``DELETE``, as admission calls it."""
    object: Object | None = field(default=None, init=False)
    """The new state; None for an object that is deleted at once."""
    generated_from: str = field(default="", init=False)
    """``metadata.generateName``, where the name was generated."""
    accepted: Condition | None = field(default=None, init=False)
    """The condition under which the namespace accepts the new object."""

    @property
    def new(self) -> Object:
        """``object``, where there is one."""
        assert self.object is not None
        return self.object

    def forget_objects(self) -> None:
        """Drop the decoded objects of an attempt whose new state is encoded: they may be megabytes.

        Another attempt makes them again. A create makes no other attempt.
        """
        self.object = self.old = None
        if self.verb == "create":
            self.body = None


def until_stored(source: Source, write: Write, attempt: Attempt) -> Awaitable[Written]:
    """Run ``attempt`` until it does not conflict with another write. Raises StatusError as the attempt, and 504 (ServerTimeout).

    Example, with two servers over one etcd. Server A deletes the ConfigMap ``x``, creates ``y``, and acknowledges both; server B
    has not seen it yet:

    - B gets a PUT of ``x`` with the old resource version. It starts from the state that it knows, and the transaction fails in
      etcd. The second attempt starts from the newer state, where ``x`` does not exist: 404, which is current.
    - B gets a DELETE of ``y`` and finds nothing: 404. It catches up with etcd, sees that the state differs from the one that the
      404 was for, and attempts the delete again: 200.
    """
    if write.verb == "create":
        return _until_no_conflict(write, attempt)
    return _until_current(source, write, attempt)


async def _until_current(source: Source, write: Write, attempt: Attempt) -> Written:
    try:
        return await _until_no_conflict(write, attempt)
    except errors.StatusError as refusal:
        known = write.record
        depends_on_state = refusal.code in _DEPENDS_ON_STATE
        if depends_on_state:
            await source.store.catch_up()
        await settled(source, write)
        if not depends_on_state or _latest(source, write) == known:
            raise
    try:
        return await _until_no_conflict(write, attempt)
    except errors.StatusError:
        await settled(source, write)
        raise


async def _until_no_conflict(write: Write, attempt: Attempt) -> Written:
    for _ in range(RETRIES):
        written = await attempt(write)
        if written is not None:
            return written
    raise errors.server_timeout(write.target.type.resource, write.verb)


def _latest(source: Source, write: Write) -> Record | None:
    target = write.target
    return source.latest(target.type, write.context.cluster, target.namespace, target.name)


async def settled(source: Source, write: Write) -> None:
    """Wait until the newest state of the object is durable. Raises StoreUnavailableError."""
    target = write.target
    await source.settled(target.type, write.context.cluster, target.namespace, target.name)
