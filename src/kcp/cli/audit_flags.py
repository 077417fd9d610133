"""The flags of auditing, under kube-apiserver's names."""

from __future__ import annotations

from typing import Final

import click

from kcp.cli.flags import Flag, OptionFlags
from kcp.server.audit.options import MODES, AuditOptions

_MODE_HELP: Final = (
    "Whether requests wait until their events are {done}: batch: never, and events are dropped when the buffer is full; "
    "blocking: always; blocking-strict: a request whose first event cannot be {done} is refused."
)
_MODE: Final = {"type": click.Choice(MODES)}
_RATE: Final = {"type": float, "metavar": "N"}

audit_flags: Final = OptionFlags(
    "Auditing",
    AuditOptions,
    {
        "--audit-policy-file": Flag(
            "policy_file", "Audit policy (audit.k8s.io/v1): which requests are recorded, at what level."
        ),
        "--audit-log-path": Flag(
            "log_path", "File to which events are appended as lines of JSON; - is the standard output."
        ),
        "--audit-log-mode": Flag("log_mode", _MODE_HELP.format(done="written"), _MODE),
        "--audit-log-maxsize": Flag("log_maxsize", "Size of the file in megabytes at which it is rotated."),
        "--audit-log-maxage": Flag("log_maxage", "Days for which rotated files are kept; 0 is no limit."),
        "--audit-log-maxbackup": Flag("log_maxbackup", "Number of rotated files that are kept; 0 is no limit."),
        "--audit-log-compress": Flag("log_compress", "Compress rotated files with gzip."),
        "--audit-log-batch-buffer-size": Flag(
            "log_batch_buffer_size", "Number of events that may wait to be written in the mode batch."
        ),
        "--audit-log-truncate-enabled": Flag(
            "log_truncate_enabled", "Leave bodies out of events that exceed the maximum size."
        ),
        "--audit-log-truncate-max-event-size": Flag(
            "log_truncate_max_event_size", "Maximum size of an event in bytes, where truncating is enabled."
        ),
        "--audit-webhook-config-file": Flag(
            "webhook_config_file", "Kubeconfig of the webhook to which events are sent."
        ),
        "--audit-webhook-mode": Flag("webhook_mode", _MODE_HELP.format(done="sent"), _MODE),
        "--audit-webhook-initial-backoff": Flag(
            "webhook_initial_backoff", "How long to wait before the first retry of a request that failed."
        ),
        "--audit-webhook-batch-buffer-size": Flag(
            "webhook_batch_buffer_size", "Number of events that may wait to be sent in the mode batch."
        ),
        "--audit-webhook-batch-max-size": Flag(
            "webhook_batch_max_size", "Maximum number of events of a request in the mode batch."
        ),
        "--audit-webhook-batch-max-wait": Flag(
            "webhook_batch_max_wait", "How long events wait for others in the mode batch."
        ),
        "--audit-webhook-batch-throttle-enable": Flag(
            "webhook_batch_throttle_enable", "Limit the number of requests in the mode batch."
        ),
        "--audit-webhook-batch-throttle-qps": Flag(
            "webhook_batch_throttle_qps", "Requests per second in the mode batch.", _RATE
        ),
        "--audit-webhook-batch-throttle-burst": Flag(
            "webhook_batch_throttle_burst", "Requests that may be sent at once after a pause in the mode batch."
        ),
        "--audit-webhook-truncate-enabled": Flag(
            "webhook_truncate_enabled", "Leave bodies out of events that exceed the maximum size, and split batches."
        ),
        "--audit-webhook-truncate-max-batch-size": Flag(
            "webhook_truncate_max_batch_size", "Maximum size of a request in bytes, where truncating is enabled."
        ),
        "--audit-webhook-truncate-max-event-size": Flag(
            "webhook_truncate_max_event_size", "Maximum size of an event in bytes, where truncating is enabled."
        ),
    },
)
