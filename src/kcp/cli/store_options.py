"""The flags that say where the log is, for each command about one, and how errors end a command."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from kcp.cli import flags
from kcp.store.backends import StorageOptions, backend_for
from kcp.store.contract import LogError, StoreUnavailableError
from kcp.store.server_contract import Backend

_storage = flags.group("Storage")
_TYPES: Final[dict[str, Any]] = {
    "str": str,
    "tuple[str, ...]": flags.Words(),
    "Path | None": click.Path(path_type=Path, dir_okay=False),
}
"""The type of a flag, by the declared type of its field."""

Command = Callable[..., Any]

root_directory_flag: Final = _storage(
    "--root-directory",
    default=".kcp",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for everything that the server keeps.",
)


def backend_flags(command: Command) -> Command:
    """Add the flags of all backends: the fields of `StorageOptions` that are declared as flags."""
    for field in reversed(dataclasses.fields(StorageOptions)):
        if field.metadata:
            decorate = _storage(
                f"--{field.name.replace('_', '-')}",
                type=_TYPES[str(field.type)],
                default=field.default,
                show_default=bool(field.default),
                metavar=field.metadata["metavar"],
                help=field.metadata["help"],
            )
            command = decorate(command)
    return command


def storage_flags(command: Command) -> Command:
    """Add the flags that say where the log is."""
    return root_directory_flag(backend_flags(command))


def backend_of(choices: dict[str, Any]) -> Backend:
    """Choose the backend from the values of `storage_flags`. Raises OptionError."""
    from kcp.server.process.storage import read_encryption_rules

    return backend_for(StorageOptions(**choices), read_encryption_rules)


def end(message: str, code: int = 1) -> NoReturn:
    """Print an error of one line, and exit."""
    click.echo(f"kcp: {message}", err=True)
    sys.exit(code)


@contextlib.contextmanager
def errors_end(code: int = 1) -> Iterator[None]:
    """End the command with one line for each error about logs and their files."""
    from kcp.store.file_lock import StoreLockedError
    from kcp.store.transfers import KeyExistsError

    try:
        yield
    except StoreLockedError as error:
        end(f"{error}; stop the server first", code)
    except KeyExistsError as error:
        end(f"{error}; nothing was written. With --replace, what the target holds is replaced", code)
    except (LogError, StoreUnavailableError) as error:
        end(str(error), code)
    except OSError as error:
        end(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error), code)
