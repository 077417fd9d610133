"""The types of ASGI 3 (https://asgi.readthedocs.io/en/latest/specs/www.html) that this package uses, and what awaits them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]
"""The name, in lower case, and the value of a header field."""


class TruncatedResponseError(Exception):
    """A response failed after its head had been sent. The HTTP server must break the stream off."""


class ClientGoneError(Exception):
    """The client disconnected before the response was complete."""


class Started(Generic[T]):
    """An awaitable that has taken its first step: most have nothing to wait for and are done then.

    So what is only needed while something waits (a deadline, a limit on those that wait) can be left out for them.
    """

    __slots__ = ("_steps", "_waits_for", "done", "result")

    def __init__(self, awaitable: Awaitable[T]) -> None:
        """Raises what the first step raises. An awaitable that is not done must be awaited before anything else is."""
        self._steps = awaitable.__await__()
        self.done = False
        try:
            self._waits_for = next(self._steps)
        except StopIteration as end:
            self.done = True
            self.result: T = end.value

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        while True:
            step: Any = self._steps.send
            try:
                argument = yield waits_for
            except BaseException as error:  # cancellation among them: it is the awaitable's to handle
                step, argument = self._steps.throw, error
            try:
                waits_for = step(argument)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            finally:
                argument = None  # an error that was thrown refers to this frame: together they would be a cycle
