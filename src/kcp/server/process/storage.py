"""The log that a server runs on: an SQLite file of its own, or an etcd cluster that it shares with other servers.

What is done once for all servers of a log (compaction, controllers) is done by the one that the log's servers elect; alone,
a server elects itself. Nothing above this module knows which of the two logs there is.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kcp.server.process.configuration import Configuration, ConfigurationError

if TYPE_CHECKING:
    from kcp.store.contract import Store
    from kcp.store.etcd.members import Labelled
    from kcp.store.etcd.store import EtcdStore, Options
    from kcp.store.figures import Distribution

Action = Callable[[], Awaitable[None]]

_MATERIAL: Final = ("ca.crt", "ca.key", "admin.token")
"""The files that make servers of one log accept the same certificates and tokens."""


@dataclass(frozen=True, slots=True)
class Storage:
    """An open log, and what a server must know of it beside the contract."""

    store: Store
    statistics: Callable[[], dict[str, float]]
    checks: dict[str, Callable[[], str | None]]
    """Checks of readiness."""
    shared: EtcdStore | None
    distributions: dict[str, Distribution]
    """Figures of batches, by name."""
    labelled: Callable[[], Labelled] = dict
    """Figures with labels: none, or those of etcd's members."""

    async def lead(self, task: str, start: Action, stop: Action, stack: contextlib.AsyncExitStack) -> None:
        """Have a task done by one server: now and until the stack unwinds where this is the only one."""
        if self.shared is None:
            await start()
            stack.push_async_callback(stop)
        else:
            stack.push_async_callback(self.shared.lead(task, start, stop).stop)


async def open_storage(configuration: Configuration, stack: contextlib.AsyncExitStack) -> Storage:
    """Open the log that is configured; the stack closes it. Raises ConfigurationError, OSError."""
    storage = await _open_etcd(configuration) if configuration.etcd_servers else _open_sqlite(configuration)
    stack.push_async_callback(storage.store.close)
    if configuration.compaction_interval != 0:
        await _compact(storage, configuration, stack)
    return storage


def _open_sqlite(configuration: Configuration) -> Storage:
    from kcp.store.contract import StoreUnavailableError
    from kcp.store.sqlite import ForeignFileError, NewerFormatError, StoreLockedError, open_store

    try:
        store = open_store(configuration.log_file, durability=configuration.durability)
    except StoreLockedError as error:
        raise ConfigurationError(f"{error}; stop that server, or choose another --root-directory") from error
    except (NewerFormatError, ForeignFileError, StoreUnavailableError) as error:
        raise ConfigurationError(str(error)) from error
    return Storage(store, store.statistics, {"disk": store.problem}, None, store.distributions())


def etcd_options(configuration: Configuration) -> Options:
    """Where the log is in etcd, as it is configured. Raises ConfigurationError."""
    if importlib.util.find_spec("grpc") is None:
        raise ConfigurationError("--etcd-servers needs gRPC: pip install 'kcp-apiserver[etcd]'")
    from kcp.store.etcd.access import Connection
    from kcp.store.etcd.store import Options

    connection = Connection(
        endpoints=configuration.etcd_servers,
        authority_file=configuration.etcd_cafile,
        certificate_file=configuration.etcd_certfile,
        key_file=configuration.etcd_keyfile,
        username=configuration.etcd_username,
        password=_password(configuration),
    )
    return Options(connection, configuration.etcd_prefix)


async def _open_etcd(configuration: Configuration) -> Storage:
    options = etcd_options(configuration)
    from kcp.store.contract import StoreUnavailableError
    from kcp.store.etcd.access import EndpointError
    from kcp.store.etcd.store import open_store
    from kcp.store.file_lock import StoreLockedError

    try:
        store = await open_store(options, configuration.data_directory)
    except StoreLockedError as error:
        raise ConfigurationError(f"{error}; stop that server, or choose another --root-directory") from error
    except EndpointError as error:
        raise ConfigurationError(str(error)) from error
    except StoreUnavailableError as error:
        raise ConfigurationError(f"cannot use etcd at {', '.join(configuration.etcd_servers)}: {error}") from error
    checks = {"etcd": store.problem, "disk": store.disk_problem}
    return Storage(store, store.statistics, checks, store, store.distributions(), store.labelled)


def _password(configuration: Configuration) -> str:
    path = configuration.etcd_password_file
    if path is None:
        return ""
    try:
        return path.read_text().rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"--etcd-password-file: cannot read {path}: {error.strerror}") from error


async def _compact(storage: Storage, configuration: Configuration, stack: contextlib.AsyncExitStack) -> None:
    from kcp.store.compaction import AutoCompactor

    compactor = AutoCompactor(
        storage.store, retention=configuration.history_retention, interval=configuration.compaction_interval
    )

    async def start() -> None:
        compactor.start()

    await storage.lead("compaction", start, compactor.stop, stack)


async def share_identity(storage: Storage, configuration: Configuration) -> None:
    """Take over what the servers of the log identify themselves with, or give it where this is the first.

    It lies in the log as it lies in the files of the data directory: whoever can read etcd can act as the administrator.
    Raises ConfigurationError, OSError, StoreUnavailableError.
    """
    if storage.shared is None:
        return
    import orjson

    from kcp.logical_clusters import SERVER_OWNED
    from kcp.server.process import identity
    from kcp.store.contract import ABSENT, Change, Key, PreconditionFailedError

    key = Key("servers.kcp.io", SERVER_OWNED, "", "authority")
    folder = configuration.data_directory
    found = storage.store.get(key)
    if found is None:
        made = await asyncio.to_thread(identity.material, folder)
        try:
            await storage.store.write([Change(key, orjson.dumps(made), expected=ABSENT)])
        except PreconditionFailedError:
            found = storage.store.get(key)  # another server was first
    if found is None:
        return
    shared: dict[str, Any] = orjson.loads(found.value)
    for name in _MATERIAL:
        content = shared[name].encode()
        path = folder / name
        if not path.exists() or path.read_bytes() != content:
            identity.write_private(path, content)
