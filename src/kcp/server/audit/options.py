"""The options of auditing, named and limited as kube-apiserver's ``--audit-*`` flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

BATCH: Final = "batch"
BLOCKING: Final = "blocking"
BLOCKING_STRICT: Final = "blocking-strict"
MODES: Final = (BATCH, BLOCKING, BLOCKING_STRICT)
"""Whether requests wait until their events are written: never, always, and always with an error where that fails."""
STANDARD_OUTPUT: Final = Path("-")
MEGABYTE: Final = 1 << 20


class AuditOptionError(ValueError):
    """Options or a policy that auditing cannot start with; the message is one line."""


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """The options of auditing. ``log_*`` are about the file, ``webhook_*`` about the webhook. Durations are in seconds."""

    policy_file: Path | None = None
    log_path: Path | None = None
    """A file, or ``-`` for the standard output."""
    log_mode: str = BATCH
    log_maxsize: int = 100
    """Megabytes of the file from which it is rotated."""
    log_maxage: int = 0
    """Days for which rotated files are kept; 0 is no limit."""
    log_maxbackup: int = 0
    """Number of rotated files that are kept; 0 is no limit."""
    log_compress: bool = False
    log_batch_buffer_size: int = 10_000
    log_truncate_enabled: bool = False
    log_truncate_max_event_size: int = 102_400
    webhook_config_file: Path | None = None
    webhook_mode: str = BATCH
    webhook_initial_backoff: float = 10.0
    webhook_batch_buffer_size: int = 10_000
    webhook_batch_max_size: int = 400
    webhook_batch_max_wait: float = 30.0
    webhook_batch_throttle_enable: bool = True
    webhook_batch_throttle_qps: float = 10.0
    webhook_batch_throttle_burst: int = 15
    webhook_truncate_enabled: bool = False
    webhook_truncate_max_batch_size: int = 10 * MEGABYTE
    webhook_truncate_max_event_size: int = 102_400

    def check(self) -> None:
        """Raise AuditOptionError for invalid values and combinations."""
        for flag, given in (
            ("--audit-log-path", self.log_path),
            ("--audit-webhook-config-file", self.webhook_config_file),
        ):
            if given is not None and self.policy_file is None:
                raise AuditOptionError(f"{flag} needs --audit-policy-file, which says what is recorded")
        for flag, mode in (("--audit-log-mode", self.log_mode), ("--audit-webhook-mode", self.webhook_mode)):
            if mode not in MODES:
                raise AuditOptionError(f"{flag} must be one of {', '.join(MODES)}, not {mode!r}")
        for flag, number in (
            ("--audit-log-batch-buffer-size", self.log_batch_buffer_size),
            ("--audit-log-truncate-max-event-size", self.log_truncate_max_event_size),
            ("--audit-webhook-batch-buffer-size", self.webhook_batch_buffer_size),
            ("--audit-webhook-batch-max-size", self.webhook_batch_max_size),
            ("--audit-webhook-batch-max-wait", self.webhook_batch_max_wait),
            ("--audit-webhook-initial-backoff", self.webhook_initial_backoff),
            ("--audit-webhook-batch-throttle-qps", self.webhook_batch_throttle_qps),
            ("--audit-webhook-batch-throttle-burst", self.webhook_batch_throttle_burst),
            ("--audit-webhook-truncate-max-event-size", self.webhook_truncate_max_event_size),
        ):
            if number <= 0:
                raise AuditOptionError(f"{flag} must be positive, not {number:g}")
        for flag, number in (
            ("--audit-log-maxsize", self.log_maxsize),
            ("--audit-log-maxage", self.log_maxage),
            ("--audit-log-maxbackup", self.log_maxbackup),
        ):
            if number < 0:
                raise AuditOptionError(f"{flag} must not be negative, but is {number}")
        if self.webhook_truncate_max_batch_size < self.webhook_truncate_max_event_size:
            raise AuditOptionError(
                f"--audit-webhook-truncate-max-batch-size ({self.webhook_truncate_max_batch_size}) must not be less than "
                f"--audit-webhook-truncate-max-event-size ({self.webhook_truncate_max_event_size})"
            )
