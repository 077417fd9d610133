"""Where a log is: the flags that say so, for each command that has to do with one, and how refusals are told."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from kcp.cli import flags
from kcp.server.process.configuration import Configuration, ConfigurationError

if TYPE_CHECKING:
    from kcp.store.etcd.store import Options

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_storage = flags.group("Storage")
_ETCD: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (
        "--etcd-servers",
        {
            "type": flags.Words(),
            "metavar": "URL,...",
            "default": (),
            "show_default": False,
            "help": "Keep everything in this etcd cluster, which other servers may share. "
            "[default: a file in the root directory]",
        },
    ),
    ("--etcd-prefix", {"default": "/kcp", "metavar": "PREFIX", "help": "Begin of every key in etcd."}),
    ("--etcd-cafile", {"type": _FILE, "help": "Authorities that sign etcd's certificates. [default: the system's]"}),
    ("--etcd-certfile", {"type": _FILE, "help": "Client certificate for etcd."}),
    ("--etcd-keyfile", {"type": _FILE, "help": "Private key of --etcd-certfile."}),
    (
        "--etcd-username",
        {"default": "", "metavar": "NAME", "show_default": False, "help": "User of etcd, where it asks for one."},
    ),
    ("--etcd-password-file", {"type": _FILE, "help": "File that holds the password of --etcd-username."}),
)

Command = Callable[..., Any]

root_directory_flag: Final = _storage(
    "--root-directory",
    default=".kcp",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory for everything that the server keeps.",
)


def etcd_flags(command: Command) -> Command:
    """The flags about etcd."""
    for name, more in reversed(_ETCD):
        command = _storage(name, **more)(command)
    return command


def place_flags(command: Command) -> Command:
    """The flags that say where the log is."""
    return root_directory_flag(etcd_flags(command))


def place_of(choices: dict[str, Any]) -> Configuration:
    """What `place_flags` have brought. Raises ConfigurationError."""
    configuration = Configuration(**choices)
    configuration.check()
    return configuration


def existing_log_file(configuration: Configuration) -> Path:
    """The log of a server that has run. Raises ConfigurationError."""
    log = configuration.log_file
    if not log.exists():
        raise ConfigurationError(f"{log} does not exist: no server has run in {configuration.root_directory}")
    return log


def new_log_file(configuration: Configuration) -> Path:
    """Where a server's log is to be, the directory made. Raises OSError."""
    configuration.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return configuration.log_file


def etcd_options(configuration: Configuration) -> Options:
    """The log of servers that keep it in etcd. Raises ConfigurationError."""
    from kcp.server.process.storage import etcd_options

    return etcd_options(configuration)


def end(message: str) -> NoReturn:
    """Say what is wrong, in one line, and end."""
    click.echo(f"kcp: {message}", err=True)
    sys.exit(1)


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """End with one line for each refusal that has to do with logs and their files."""
    from kcp.store.contract import StoreUnavailableError
    from kcp.store.etcd.access import EndpointError
    from kcp.store.exports import DamagedExportError
    from kcp.store.file_lock import StoreLockedError
    from kcp.store.moving import KeyExistsError, MovingError
    from kcp.store.tables import ForeignFileError, NewerFormatError

    try:
        yield
    except StoreLockedError as error:
        end(f"{error}; stop the server first")
    except KeyExistsError as error:
        end(f"{error}; nothing was written. With --replace, what the target holds is replaced")
    except (
        *(ConfigurationError, EndpointError, StoreUnavailableError, MovingError),
        *(DamagedExportError, ForeignFileError, NewerFormatError),
    ) as error:
        end(str(error))
    except OSError as error:
        end(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
