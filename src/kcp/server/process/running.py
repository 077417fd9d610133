"""A whole server: its directory, identity, store, registry, controllers and listener, started and stopped in order.

Any number of servers can run in one interpreter, at the same time or one after the other: nothing here is global. `run`
is what `kcp start` does around one: signals, and an exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from kcp.server.process import listening
from kcp.server.process.configuration import Configuration, ConfigurationError

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from kcp.auth.users import User
    from kcp.registry.verbs.registry import Registry
    from kcp.server.process.identity import Identity
    from kcp.server.process.listening import Listening
    from kcp.server.process.storage import Storage
    from kcp.server.requests.application import Application

logger: Final = logging.getLogger("kcp.server")

_DIRECTORY_MODE: Final = 0o700
_AT_ONCE: Final = 130
_HELD: Final = 1.0
"""Seconds for which the report of an error waits that may be the HTTP server's end."""


class ServerProcess:
    """One server. `start`, then `stop`; not to be started again."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.address: tuple[str, int] = ("", 0)
        self.url = ""
        self.ready = False
        self.stopping = False
        self._stack = contextlib.AsyncExitStack()
        self.identity: Identity | None = None
        self.registry: Registry | None = None
        self.application: Application | None = None
        self.http: Listening | None = None

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.configuration.data_directory / "admin.kubeconfig"

    async def start(self) -> None:
        """Return when the server is ready. Raises ConfigurationError when it cannot start; nothing is left running then."""
        self.configuration.check()
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        from kcp.server.process import identity
        from kcp.server.requests import connections

        configuration = self.configuration
        _make_directories(configuration)
        storage = await self._open_storage()
        listener = listening.bind(configuration.bind_address, configuration.secure_port)
        self._stack.callback(listener.close)
        host, port = identity.reachable_host(configuration), listener.getsockname()[1]
        self.address = (host, port)
        self.url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        try:
            self.identity = identity.prepare(configuration)
        except OSError as error:
            raise _unwritable(error) from error
        self.application = await self._compose(storage, self.identity)
        http = self.http = self._listen(listener, self.application, self.identity)
        await http.start()
        self._stack.push_async_callback(self._stop_serving, http)
        self._in_background(connections.sweep(self.application.watches))
        try:
            identity.write_kubeconfig(self.identity, host, port)
        except OSError as error:
            raise _unwritable(error) from error
        self.ready = True

    async def _open_storage(self) -> Storage:
        from kcp.server.process.storage import open_storage, share_identity
        from kcp.store.contract import StoreUnavailableError

        try:
            storage = await open_storage(self.configuration, self._stack)
            await share_identity(storage, self.configuration)
        except OSError as error:
            raise _unwritable(error) from error
        except StoreUnavailableError as error:
            raise ConfigurationError(str(error)) from error
        return storage

    async def _compose(self, storage: Storage, identity: Identity) -> Application:
        from kcp.auth.authentication.authenticators import BearerTokens, ClientCertificates
        from kcp.auth.authentication.static_tokens import StaticTokens
        from kcp.auth.authorization.authorizers import BasicAuthorizer
        from kcp.auth.users import MASTERS, authenticated
        from kcp.controllers.manager import Manager
        from kcp.server.process.composition import compose_registry
        from kcp.server.process.identity import ADMINISTRATOR
        from kcp.server.requests.application import Application

        configuration = self.configuration
        authorizer = BasicAuthorizer()
        administrator = authenticated(ADMINISTRATOR, groups=(MASTERS,))
        tokens = BearerTokens([StaticTokens([(identity.admin_token, administrator), *_tokens(configuration)])])
        self.registry = await compose_registry(
            storage.store, authorizer=authorizer, tokens=tokens, event_lifetime=int(configuration.event_ttl)
        )
        manager = Manager(self.registry)
        await storage.lead("controllers", manager.start, manager.stop, self._stack)
        application = Application(
            self.registry,
            authorizer=authorizer,
            certificates=ClientCertificates(identity.client_authority_bundles),
            tokens=tokens,
            anonymous=configuration.anonymous_auth,
            max_reading=configuration.max_requests_inflight,
            max_mutating=configuration.max_mutating_requests_inflight,
            min_request_timeout=configuration.min_request_timeout,
            request_timeout=configuration.request_timeout,
            server_address=f"{self.address[0]}:{self.address[1]}",
            log_requests=configuration.log_requests,
            ready_checks={
                "poststarthook/start-controllers": lambda: None if self.ready else "not finished",
                **storage.checks,
                "shutdown": lambda: "process is shutting down" if self.stopping else None,
            },
        )
        application.metrics.follow_store(storage.store)
        return application

    def _listen(self, listener: socket.socket, application: Application, identity: Identity) -> Listening:
        return listening.Listening(
            application,
            listener,
            certificate=identity.serving_certificate,
            key=identity.serving_key,
            client_authorities=identity.client_authorities,
            grace=self.configuration.shutdown_grace_period,
            body_timeout=self.configuration.request_timeout,
        )

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._stack.push_async_callback(_cancelled, task)

    async def _stop_serving(self, http: Listening) -> None:
        assert self.application is not None
        self.application.watches.end_all()
        await http.stop()
        await self.application.mutations.drained(self.configuration.shutdown_grace_period)

    async def stop(self) -> None:
        """Say that the server is not ready any more, end the watches, finish what is under way, and close everything."""
        self.stopping = True
        if self.configuration.shutdown_delay_duration:
            await asyncio.sleep(self.configuration.shutdown_delay_duration)
        await self._stack.aclose()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


def _tokens(configuration: Configuration) -> list[tuple[str, User]]:
    from kcp.auth.authentication.static_tokens import TokenFileError, read_token_file

    path = configuration.token_auth_file
    if path is None:
        return []
    try:
        return read_token_file(path)
    except OSError as error:
        raise ConfigurationError(f"--token-auth-file: cannot read {path}: {error.strerror}") from error
    except TokenFileError as error:
        raise ConfigurationError(f"--token-auth-file: {error}") from error


def _make_directories(configuration: Configuration) -> None:
    folder = configuration.data_directory
    try:
        for directory in (configuration.root_directory, folder):
            if not directory.is_dir():
                directory.mkdir(mode=_DIRECTORY_MODE, parents=True)
        folder.chmod(_DIRECTORY_MODE)
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> ConfigurationError:
    why = error.strerror or str(error)
    place = f"to {error.filename}" if error.filename else "what a server needs"
    return ConfigurationError(f"cannot write {place}: {why}; choose another place with --root-directory")


async def serve_until_signalled(process: ServerProcess, announce: Callable[[ServerProcess], None]) -> None:
    """Start, announce, wait for SIGTERM or SIGINT, stop. A second signal ends the process at once.

    Raises ConfigurationError when the server cannot start, or cannot go on.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()

    def on_signal() -> None:
        if asked.is_set():
            os._exit(_AT_ONCE)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await process.start()
    announce(process)
    _spare_the_collector()
    assert process.http is not None
    unhandled = _Unhandled()
    loop.set_exception_handler(unhandled.report)
    signalled, served = asyncio.create_task(asked.wait()), asyncio.create_task(process.http.ended())
    await asyncio.wait((signalled, served), return_when=asyncio.FIRST_COMPLETED)
    if served.done():
        unhandled.told = served.exception()
    logger.info("stopping")
    signalled.cancel()
    await process.stop()
    await asyncio.wait((signalled, served))
    unhandled.told = served.exception()
    unhandled.hold_no_more(loop)
    if failure := served.exception():
        raise ConfigurationError(f"the HTTP server ended: {failure}")


class _Unhandled:
    """Reports what nobody handled, except the error that the user is told anyway.

    The HTTP server has tasks and futures that end with that error, and some are reported before it has ended. So what may be
    one of them is reported a second later than the rest.
    """

    def __init__(self) -> None:
        self.told: BaseException | None = None
        self._holds = True
        self._held: list[dict[str, Any]] = []

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's exception handler."""
        if self._holds and context["message"] in listening.REPORTED_AT_ITS_END:
            self._held.append(context)
            loop.call_later(_HELD, self._report_held, loop)
        else:
            self._report_unless_told(loop, context)

    def hold_no_more(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report what is held, and from now on everything at once."""
        self._holds = False
        self._report_held(loop)

    def _report_held(self, loop: asyncio.AbstractEventLoop) -> None:
        held, self._held = self._held, []
        for context in held:
            self._report_unless_told(loop, context)

    def _report_unless_told(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self.told is None or str(context.get("exception")) != str(self.told):
            loop.default_exception_handler(context)


def _allow_many_files() -> None:
    """Take as many open files as the system grants: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # not every system grants what it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _spare_the_collector() -> None:
    """Keep what a started server consists of out of garbage collections, and let requests make more before the next one.

    A full collection walks 45,000 objects in 14 ms otherwise, on the event loop; and writes take 6 % longer with collections
    every 700 objects. For a process that is a server and nothing else: these settings are the interpreter's.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def run(configuration: Configuration, announce: Callable[[ServerProcess], None]) -> None:
    """Run a server until it is told to stop. Raises ConfigurationError when it cannot start."""
    import uvloop

    _allow_many_files()
    uvloop.run(serve_until_signalled(ServerProcess(configuration), announce))
