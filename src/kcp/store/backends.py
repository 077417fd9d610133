"""Backends: the kinds of logs, and the one place that chooses among them.

A backend opens its log for a server, and does to a log as a whole what operators ask for: snapshots, exports, imports, checks.
To add one, write its module, add its options to `StorageOptions` and its case to `backend_for`, and add it to the parameters of
the conformance suite.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kcp.store.contract import OptionError
from kcp.store.server_contract import Backend

if TYPE_CHECKING:
    from kcp.store.encryption.backend import EncryptedBackend
    from kcp.store.encryption.options import ReadRules
    from kcp.store.transfers import SnapshotInfo


def _flag(help_text: str, metavar: str | None = None) -> dict[str, Any]:
    """Make the metadata of a field of `StorageOptions` that commands take as a flag."""
    return {"help": help_text, "metavar": metavar}


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageOptions:
    """Where the log is, as an operator chooses it. Each field with metadata is a flag of every command about a log."""

    root_directory: Path = Path(".kcp")
    durability: str = "full"
    etcd_servers: tuple[str, ...] = field(
        default=(),
        metadata=_flag(
            "Keep the log in this etcd cluster, which other servers may share. [default: a file in the root directory]",
            "URL,...",
        ),
    )
    etcd_prefix: str = field(default="/kcp", metadata=_flag("Prefix of every key in etcd.", "PREFIX"))
    etcd_cafile: Path | None = field(
        default=None,
        metadata=_flag("Certificate authorities that sign etcd's certificates. [default: the system's]"),
    )
    etcd_certfile: Path | None = field(default=None, metadata=_flag("Client certificate for etcd."))
    etcd_keyfile: Path | None = field(default=None, metadata=_flag("Private key of --etcd-certfile."))
    etcd_username: str = field(default="", metadata=_flag("User of etcd, if it requires one.", "NAME"))
    etcd_password_file: Path | None = field(
        default=None, metadata=_flag("File that holds the password of --etcd-username.")
    )
    encryption_provider_config: Path | None = field(
        default=None,
        metadata=_flag(
            "EncryptionConfiguration (apiserver.config.k8s.io/v1) with the keys that encrypt values at rest. [default: none]"
        ),
    )

    @property
    def data_directory(self) -> Path:
        """The directory of everything that a server writes."""
        return self.root_directory / "data"

    @property
    def log_file(self) -> Path:
        """The SQLite log."""
        return self.data_directory / "kcp.db"

    def check_storage(self) -> None:
        """Raise OptionError for options that contradict one another."""
        if (self.etcd_certfile is None) != (self.etcd_keyfile is None):
            raise OptionError("--etcd-certfile and --etcd-keyfile must be given together")
        if bool(self.etcd_username) != (self.etcd_password_file is not None):
            raise OptionError("--etcd-username and --etcd-password-file must be given together")


def backend_for(options: StorageOptions, read_rules: ReadRules) -> EncryptedBackend:
    """Choose the backend that is configured, with the keys that encrypt its values, which ``read_rules`` reads.

    Raises OptionError.
    """
    from kcp.store.encryption.backend import EncryptedBackend

    return EncryptedBackend(_plain_backend(options), options.encryption_provider_config, read_rules)


def _plain_backend(options: StorageOptions) -> Backend:
    options.check_storage()
    if not options.etcd_servers:
        from kcp.store.sqlite.backend import SQLiteBackend

        return SQLiteBackend(options.log_file, durability=options.durability)
    from kcp.store.etcd.access import ConnectionOptions, LogOptions
    from kcp.store.etcd.backend import EtcdBackend

    connection = ConnectionOptions(
        endpoints=options.etcd_servers,
        authority_file=options.etcd_cafile,
        certificate_file=options.etcd_certfile,
        key_file=options.etcd_keyfile,
        username=options.etcd_username,
        password=_password(options.etcd_password_file),
    )
    return EtcdBackend(options.data_directory, LogOptions(connection, options.etcd_prefix))


def _password(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text().rstrip("\r\n")
    except OSError as error:
        raise OptionError(f"--etcd-password-file: cannot read {file}: {error.strerror}") from error


def backend_of_file(file: Path, options: StorageOptions, read_rules: ReadRules) -> Backend:
    """The backend of a log file that is named directly. Raises OptionError if the options name another log as well."""
    if options.etcd_servers:
        raise OptionError("FILE and --etcd-servers cannot be given together")
    from kcp.store.encryption.backend import EncryptedBackend
    from kcp.store.sqlite.backend import SQLiteBackend

    return EncryptedBackend(SQLiteBackend(file), options.encryption_provider_config, read_rules)


def describe_snapshot(file: Path) -> SnapshotInfo:
    """Check a snapshot of any backend and count its content. Raises LogError, OSError."""
    from kcp.store.exports import is_export, verify
    from kcp.store.transfers import SnapshotInfo

    if is_export(file):
        summary = verify(file)
        return SnapshotInfo(summary.header.revision, summary.entries, len(summary.logical_clusters))
    from kcp.store.sqlite import snapshots

    return snapshots.describe(file)
