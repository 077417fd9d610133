"""The server process: its directory, store, identity, composition and listener, started and stopped in order.

Any number of servers can run in one interpreter, at the same time or one after the other: a `ServerProcess` has no global
state. `run` is what `kcp start` adds: signals, and settings of the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from kcp.server.process import ineffective_flags, listening, requirements, sockets
from kcp.server.process.allocator import return_large_allocations
from kcp.server.process.configuration import Configuration
from kcp.server.process.cyclic_garbage import CyclicGarbage
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.open_files import allow_many_files
from kcp.server.process.reloading import ReloadedFiles

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from kcp.server.process.composition import Composition
    from kcp.server.process.identity import Identity
    from kcp.server.process.listening import Listening
    from kcp.server.process.parts import Parts
    from kcp.server.process.serving_certificates import ServingCertificates
    from kcp.server.process.storage import Storage

logger: Final = logging.getLogger("kcp.server")

_DIRECTORY_MODE: Final = 0o700
_EXIT_INTERRUPTED: Final = 130
_SWITCH_INTERVAL: Final = 0.001
"""Seconds after which a thread that waits for the interpreter lock gets it. With the default, 5 ms, a commit waits for so long
several times while the event loop is busy, and the event loop while a thread is."""
_REPORT_DELAY: Final = 1.0
"""Seconds for which the report of an error is delayed that may be the error with which the HTTP server ends."""


class ServerProcess:
    """One server: `start`, then `stop`. It cannot be started again."""

    def __init__(self, configuration: Configuration, parts: Parts | None = None) -> None:
        """``parts`` default to those of `kcp start`."""
        from kcp.server.process.parts import DEFAULT_PARTS

        self.configuration = configuration
        self.parts = parts if parts is not None else DEFAULT_PARTS
        self.address: tuple[str, int] = ("", 0)
        self.url = ""
        self.health_port = 0
        """The port where health is served over plain HTTP; 0 is none."""
        self.ready = False
        self.stopping = False
        self._stack = contextlib.AsyncExitStack()
        self.identity: Identity | None = None
        self.composition: Composition | None = None
        self.storage: Storage | None = None
        self.files = ReloadedFiles()
        self.http: Listening | None = None
        self.certificates: ServingCertificates | None = None

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.configuration.data_directory / "admin.kubeconfig"

    async def start(self) -> None:
        """Start; return when the server is ready. Raises ConfigurationError, and then leaves nothing running."""
        self.configuration.check()
        requirements.check()
        for line in ineffective_flags.warnings(self.configuration):
            logger.warning("%s", line)
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
        storage = self.storage = await self._open_storage()
        listener = sockets.bind(configuration.bind_address, configuration.secure_port)
        self._stack.callback(listener.close)
        host, port = identity.reachable_host(configuration), listener.getsockname()[1]
        self.address = (host, port)
        self.url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        try:
            self.identity = identity.prepare(configuration)
        except OSError as error:
            raise _unwritable(error) from error
        composition = self.composition = await self._compose(storage, self.identity)
        await self._start_audit(composition)
        await self._serve_health(composition)
        http = self.http = self._listen(listener, composition, self.identity)
        self._stack.push_async_callback(self._stop_serving, http, composition)
        self._follow_encryption(storage, composition)
        await http.start()
        self.run_in_background("the sweep of watches", connections.sweep(composition.watches))
        self.run_in_background("the reloading of files", self.files.follow())
        certificates = self.certificates = self._certificates(http, composition)
        certificates.add_to(self.files)
        self.run_in_background("the renewal of certificates", certificates.follow())
        try:
            identity.write_kubeconfig(self.identity, host, port)
        except OSError as error:
            raise _unwritable(error) from error
        self.ready = True

    async def _open_storage(self) -> Storage:
        from kcp.server.process.storage import share_identity
        from kcp.store.contract import DamagedValueError, StoreUnavailableError

        try:
            storage = await self.parts.backend(self.configuration, self._stack)
            await share_identity(storage, self.configuration)
        except OSError as error:
            raise _unwritable(error) from error
        except (DamagedValueError, StoreUnavailableError) as error:
            raise ConfigurationError(str(error)) from error
        return storage

    async def _compose(self, storage: Storage, identity: Identity) -> Composition:
        from kcp.outbound.owner import Outbound
        from kcp.server.process.composition import compose
        from kcp.server.process.environment import open_environment
        from kcp.store.contract import DamagedValueError, StoreUnavailableError

        checks = {
            "poststarthook/start-controllers": lambda: None if self.ready else "not finished",
            **storage.checks,
            "shutdown": lambda: "process is shutting down" if self.stopping else None,
        }
        outbound = Outbound()
        self._stack.push_async_callback(outbound.close)
        notes, address = storage.store.readiness_notes(), f"{self.address[0]}:{self.address[1]}"
        try:
            environment = await open_environment(self.configuration, identity, storage.store, self.files, outbound)
            composition = await compose(self.parts, environment, checks, notes, address)
            await storage.lead("controllers", composition.start_controllers, composition.stop_controllers, self._stack)
        except DamagedValueError as error:
            raise ConfigurationError(f"{error}, and nothing is served without it: restore a snapshot") from error
        except StoreUnavailableError as error:
            raise ConfigurationError(str(error)) from error
        for name, work in environment.background.items():
            self.run_in_background(name, work())
        composition.metrics.add_store(storage.store)
        storage.store.observe_deliveries(composition.watchdog.note_delivery)
        storage.store.expect_writes(composition.mutations.in_progress)
        if composition.dispatcher is not None:
            dispatcher = composition.dispatcher
            storage.store.schedule_deliveries(dispatcher.deliver_later, dispatcher.charge_delivery)
        return composition

    async def _start_audit(self, composition: Composition) -> None:
        """Start the audit backends; they stop when no request is left."""
        from kcp.server.process import auditing

        if (trail := composition.audit_trail) is not None:
            self._stack.push_async_callback(trail.stop)
            await auditing.start(trail)

    def _follow_encryption(self, storage: Storage, composition: Composition) -> None:
        """Reload the keys of the log's values when their file changes, and measure their use."""
        encryption = storage.encryption
        if encryption is None:
            return
        from kcp.server.observability.encryption_metrics import EncryptionCollector
        from kcp.store.contract import LogError

        composition.metrics.registry.register(EncryptionCollector(encryption.counts, encryption.reloads))

        def reload() -> None:
            try:
                encryption.reload()
            except LogError as error:
                raise ConfigurationError(str(error)) from error

        if self.configuration.encryption_provider_config_automatic_reload:
            self.files.add(encryption.path, reload)

    def _listen(self, listener: socket.socket, composition: Composition, identity: Identity) -> Listening:
        return listening.Listening(
            composition.application,
            listener,
            certificate=identity.serving_certificate,
            key=identity.serving_key,
            client_authorities=identity.client_authorities,
            watches=composition.watches,
            grace=self.configuration.shutdown_grace_period,
            body_timeout=self.configuration.request_timeout,
        )

    async def _serve_health(self, composition: Composition) -> None:
        """Serve health over plain HTTP where the configuration says so, until the server stops serving requests."""
        if not self.configuration.healthz_bind_address:
            return
        from kcp.plain_http import PlainListener
        from kcp.server.process.configuration import split_address
        from kcp.server.process.health_listener import health_responses

        flag = "--healthz-bind-address"
        host, port = split_address(flag, self.configuration.healthz_bind_address)
        listener = sockets.bind(host, port, address_flag=flag, port_flag=flag)
        self._stack.callback(listener.close)
        self.health_port = listener.getsockname()[1]
        health = PlainListener(health_responses(composition.health))
        await health.start(listener)
        self._stack.push_async_callback(health.stop)

    def _certificates(self, http: Listening, composition: Composition) -> ServingCertificates:
        from kcp.auth.certificates import KeyPair, expiration
        from kcp.server.process import identity
        from kcp.server.process.serving_certificates import ServingCertificates

        assert self.identity is not None

        def on_replaced(serving: KeyPair) -> None:
            assert self.identity is not None
            trust = identity.trust_of(self.configuration, self.identity.trust, serving)
            self.identity = dataclasses.replace(self.identity, serving=serving, trust=trust)
            composition.metrics.set_serving_certificate(expiration(serving.certificate).timestamp())
            identity.write_kubeconfig(self.identity, *self.address)

        return ServingCertificates(self.configuration, self.identity, http.replace, on_replaced)

    def run_in_background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until the server stops; it is cancelled before the server ends its connections."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_report_error)
        self._stack.push_async_callback(_cancelled, task)

    async def _stop_serving(self, http: Listening, composition: Composition) -> None:
        composition.watches.end_all()
        await http.stop()
        await composition.mutations.drained(self.configuration.shutdown_grace_period)

    async def stop(self) -> None:
        """Fail the readiness check, end the watches, finish running requests, and close everything."""
        self.stopping = True
        if self.configuration.shutdown_delay_duration:
            await asyncio.sleep(self.configuration.shutdown_delay_duration)
        await self._stack.aclose()


def _report_error(task: asyncio.Task[None]) -> None:
    """Log the error that has ended a background task: nobody awaits the task before the server stops."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s has ended with an error", task.get_name(), exc_info=error)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait((task,))


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
    path = error.filename or "the root directory"
    return ConfigurationError(f"cannot write to {path}: {why}; choose another directory with --root-directory")


async def serve_until_signalled(process: ServerProcess, announce: Callable[[ServerProcess], None]) -> None:
    """Start, announce, wait for SIGTERM or SIGINT, stop. A second signal ends the process at once; SIGHUP reloads files.

    A signal during the start ends it.

    Raises ConfigurationError when the server cannot start, or ends with an error.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL)
    loop = asyncio.get_running_loop()
    stop_requested = asyncio.Event()

    def on_signal() -> None:
        if stop_requested.is_set():
            os._exit(_EXIT_INTERRUPTED)
        stop_requested.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, process.files.reload)
    if not await _started(process, stop_requested):
        logger.info("stopping before the server is ready")
        return
    announce(process)
    assert process.composition is not None
    registry = process.composition.registry
    garbage = CyclicGarbage(registry.large_writes, lambda: registry.catalog.discarded_types)
    collecting = asyncio.create_task(garbage.run())
    assert process.http is not None
    unhandled = _UnhandledErrors()
    loop.set_exception_handler(unhandled.report)
    signalled, served = asyncio.create_task(stop_requested.wait()), asyncio.create_task(process.http.ended())
    await asyncio.wait((signalled, served), return_when=asyncio.FIRST_COMPLETED)
    collecting.cancel()
    if served.done():
        unhandled.known = served.exception()
    logger.info("stopping")
    signalled.cancel()
    await process.stop()
    await asyncio.wait((signalled, served))
    unhandled.known = served.exception()
    unhandled.flush(loop)
    if failure := served.exception():
        raise ConfigurationError(f"the HTTP server ended: {failure}")


async def _started(process: ServerProcess, stop_requested: asyncio.Event) -> bool:
    """Start; False when a stop is requested before the server is ready. Raises ConfigurationError."""
    starting, stopping = asyncio.create_task(process.start()), asyncio.create_task(stop_requested.wait())
    await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        await _cancelled(starting)
    stopping.cancel()
    if starting.cancelled():
        return False
    starting.result()
    return True


class _UnhandledErrors:
    """Reports unhandled errors to the log, except the one with which the HTTP server ends: that one is printed anyway.

    Tasks and futures of the HTTP server end with that error too, and some are reported before the server has ended. So the
    report of an error that may be the same is delayed by a second.
    """

    def __init__(self) -> None:
        self.known: BaseException | None = None
        self._delays = True
        self._delayed: list[dict[str, Any]] = []

    def report(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The event loop's exception handler."""
        if self._delays and context["message"] in listening.REPORTED_AT_SERVER_END:
            self._delayed.append(context)
            loop.call_later(_REPORT_DELAY, self._report_delayed, loop)
        else:
            self._report_unless_known(loop, context)

    def flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Report delayed errors, and from now on report without delay."""
        self._delays = False
        self._report_delayed(loop)

    def _report_delayed(self, loop: asyncio.AbstractEventLoop) -> None:
        delayed, self._delayed = self._delayed, []
        for context in delayed:
            self._report_unless_known(loop, context)

    def _report_unless_known(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self.known is None or str(context.get("exception")) != str(self.known):
            loop.default_exception_handler(context)


def run(configuration: Configuration, announce: Callable[[ServerProcess], None]) -> None:
    """Run a server until a signal stops it. Raises ConfigurationError when it cannot start."""
    from kcp.server.process import address_space

    address_space.prepare()
    import uvloop

    allow_many_files()
    return_large_allocations()
    uvloop.run(serve_until_signalled(ServerProcess(configuration), announce))
