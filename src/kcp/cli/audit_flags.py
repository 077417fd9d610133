"""The flags of auditing, under kube-apiserver's names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags
from kcp.server.audit.options import MODES, AuditOptions

_audit = flags.group("Auditing")
_PREFIX: Final = "audit_"
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_TYPES: Final[dict[str, Any]] = {"int": click.IntRange(min=0), "float": flags.DurationType(), "Path | None": _FILE}
_METAVARS: Final = {"int": "N", "float": "DURATION"}
_MODE_HELP: Final = (
    "Whether requests wait until their events are {done}: batch: never, and events are dropped when the buffer is full; "
    "blocking: always; blocking-strict: a request whose first event cannot be {done} is refused."
)
_HELP: Final = {
    "policy_file": "Audit policy (audit.k8s.io/v1): which requests are recorded, at what level.",
    "log_path": "File to which events are appended as lines of JSON; - is the standard output.",
    "log_mode": _MODE_HELP.format(done="written"),
    "log_maxsize": "Size of the file in megabytes at which it is rotated.",
    "log_maxage": "Days for which rotated files are kept; 0 is no limit.",
    "log_maxbackup": "Number of rotated files that are kept; 0 is no limit.",
    "log_compress": "Compress rotated files with gzip.",
    "log_batch_buffer_size": "Number of events that may wait to be written in the mode batch.",
    "log_truncate_enabled": "Leave bodies out of events that exceed the maximum size.",
    "log_truncate_max_event_size": "Maximum size of an event in bytes, where truncating is enabled.",
    "webhook_config_file": "Kubeconfig of the webhook to which events are sent.",
    "webhook_mode": _MODE_HELP.format(done="sent"),
    "webhook_initial_backoff": "How long to wait before the first retry of a request that failed.",
    "webhook_batch_buffer_size": "Number of events that may wait to be sent in the mode batch.",
    "webhook_batch_max_size": "Maximum number of events of a request in the mode batch.",
    "webhook_batch_max_wait": "How long events wait for others in the mode batch.",
    "webhook_batch_throttle_enable": "Limit the number of requests in the mode batch.",
    "webhook_batch_throttle_qps": "Requests per second in the mode batch.",
    "webhook_batch_throttle_burst": "Requests that may be sent at once after a pause in the mode batch.",
    "webhook_truncate_enabled": "Leave bodies out of events that exceed the maximum size, and split batches.",
    "webhook_truncate_max_batch_size": "Maximum size of a request in bytes, where truncating is enabled.",
    "webhook_truncate_max_event_size": "Maximum size of an event in bytes, where truncating is enabled.",
}

Command = Callable[..., Any]


def audit_flags(command: Command) -> Command:
    """Add a flag for each field of `AuditOptions`."""
    for field in reversed(dataclasses.fields(AuditOptions)):
        command = _flag(field)(command)
    return command


def _flag(field: dataclasses.Field[Any]) -> Callable[[Command], Command]:
    name = f"--audit-{field.name.replace('_', '-')}"
    text = _HELP[field.name]
    if field.name.endswith("_mode"):
        return _audit(name, default=field.default, type=click.Choice(MODES), help=text)
    if str(field.type) == "bool":
        return _audit(
            name,
            default=field.default,
            **flags.SWITCH,
            help=f"{text} [default: {str(field.default).lower()}]",
        )
    if field.name.endswith("_qps"):
        return _audit(name, default=field.default, type=float, metavar="N", help=text)
    kind = str(field.type)
    default = f"{field.default:g}s" if kind == "float" else field.default
    shown = default is not None
    return _audit(name, default=default, type=_TYPES[kind], metavar=_METAVARS.get(kind), show_default=shown, help=text)


def take_audit_options(choices: dict[str, Any]) -> AuditOptions:
    """Take the values of `audit_flags` out of those of all flags."""
    names = [name for name in choices if name.startswith(_PREFIX)]
    return AuditOptions(**{name.removeprefix(_PREFIX): choices.pop(name) for name in names})
