"""Coroutine functions as tests: each runs in an event loop of its own, which its fixtures share.

A test that needs an asynchronous fixture gets it from a plain one that enters an asynchronous context manager in the
test's loop:

    @pytest.fixture
    def store(enter: Enter) -> Store:
        return enter(opened(path))
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Protocol, TypeVar

import pytest

Value = TypeVar("Value")


class Enter(Protocol):
    """Enters an asynchronous context manager in the test's event loop; it is left when the test has ended."""

    def __call__(self, manager: AbstractAsyncContextManager[Value], /) -> Value:
        """Return the manager's value."""


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """The event loop of a test."""
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def enter(runner: asyncio.Runner) -> Iterator[Enter]:
    """A function that enters an asynchronous context manager in the test's event loop."""
    stack = AsyncExitStack()
    yield lambda manager: runner.run(stack.enter_async_context(manager))
    runner.run(stack.aclose())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run a test that is a coroutine function."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    test: Callable[..., Any] = pyfuncitem.obj
    names = inspect.signature(test).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    runner = pyfuncitem.funcargs.get("runner")
    if isinstance(runner, asyncio.Runner):
        runner.run(test(**arguments))
    else:
        asyncio.run(test(**arguments))
    return True
