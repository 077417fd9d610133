"""The server's log: opening it, compacting it, and the identity that servers of one log share through it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kcp.server.process.configuration import Configuration
from kcp.server.process.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from kcp.store.contract import Action
    from kcp.store.encryption.opening import Encryption
    from kcp.store.encryption.options import Rule
    from kcp.store.server_contract import Check, ServerStore


_TOKEN: Final = "admin.token"  # noqa: S105 - a file name
_MATERIAL: Final = ("ca.crt", "ca.key", _TOKEN)
"""The files that make servers of one log accept the same certificates and tokens."""


class Storage(NamedTuple):
    """An open log. ``shared`` says whether other servers may use it too, ``encryption`` has the keys of its values."""

    store: ServerStore
    shared: bool
    encryption: Encryption | None = None

    @property
    def checks(self) -> dict[str, Check]:
        """The readiness checks of the log."""
        return self.store.readiness_checks()

    async def lead(self, task: str, start: Action, stop: Action, stack: contextlib.AsyncExitStack) -> None:
        """Run a task on the elected server of the log, until the stack unwinds."""
        stack.push_async_callback(await self.store.lead(task, start, stop))


def read_encryption_rules(path: Path) -> list[Rule]:
    """Read the file of ``--encryption-provider-config``. Raises OptionError."""
    from kcp.server.process import encryption_configuration

    return encryption_configuration.read(path)


async def open_storage(configuration: Configuration, stack: contextlib.AsyncExitStack) -> Storage:
    """Open the configured log and start compaction; the stack closes it. Raises ConfigurationError, OSError."""
    from kcp.store.backends import backend_for
    from kcp.store.contract import LogError, StoreUnavailableError
    from kcp.store.file_lock import StoreLockedError

    try:
        backend = backend_for(configuration, read_encryption_rules)
        if not configuration.new_log and backend.is_missing():
            _require_new_server(configuration)
        store = await backend.open()
    except StoreLockedError as error:
        raise ConfigurationError(f"{error}; stop that server, or choose another --root-directory") from error
    except (LogError, StoreUnavailableError) as error:
        raise ConfigurationError(str(error)) from error
    storage = Storage(store, backend.capabilities.shared, backend.encryption)
    stack.push_async_callback(store.close)
    if configuration.compaction_interval != 0:
        await _compact(storage, configuration, stack)
    return storage


def _require_new_server(configuration: Configuration) -> None:
    """Raise ConfigurationError where a server has run whose log is gone. An empty log would look like deleted objects."""
    if (configuration.data_directory / _TOKEN).is_file():
        raise ConfigurationError(
            f"{configuration.log_file} is missing or empty, but {_TOKEN} beside it shows that a server has run there; restore a "
            "snapshot (kcp snapshot restore), or start with an empty log by --new-log"
        )


async def _compact(storage: Storage, configuration: Configuration, stack: contextlib.AsyncExitStack) -> None:
    from kcp.store.compaction import AutoCompactor

    compactor = AutoCompactor(
        storage.store, retention=configuration.history_retention, interval=configuration.compaction_interval
    )

    async def start() -> None:
        compactor.start()

    await storage.lead("compaction", start, compactor.stop, stack)


async def share_identity(storage: Storage, configuration: Configuration) -> None:
    """Adopt the CA and token stored in a shared log, or store ours on the first server.

    Unless Secrets are encrypted, the log holds them in plain text: a client that can read etcd can act as the administrator.
    Raises ConfigurationError, OSError, StoreUnavailableError.
    """
    if not storage.shared:
        return
    import orjson

    from kcp.logical_clusters import SERVER_OWNED, SERVER_RECORDS
    from kcp.server.process import identity
    from kcp.store.contract import ABSENT, Change, Key, PreconditionFailedError

    key = Key(SERVER_RECORDS, SERVER_OWNED, "", "authority")
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
