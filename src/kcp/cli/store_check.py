"""``kcp store check``: check a store's invariants."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kcp.cli import flags
from kcp.cli.store_options import errors_end, storage_flags

if TYPE_CHECKING:
    from kcp.store.findings import Finding, Violation

_checking = flags.group("Checking")
_BROKEN: Final = 1
_UNREADABLE: Final = 2
_UPDATE_SECONDS: Final = 0.2


@click.command(cls=flags.GroupedCommand)
@_checking(
    "--first",
    default=10,
    metavar="N",
    type=click.IntRange(min=0),
    help="Number of violations to print for each rule; all are counted.",
)
@storage_flags
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path | None, first: int, **choices: Any) -> None:
    """Check a store's invariants. Read-only.

    Checks the log in the root directory, or FILE, in one snapshot; a server may be running. With --etcd-servers, checks the log
    in etcd at one revision, and its replica in the root directory, if there is one. The exit code is 0 if all invariants hold,
    1 if one is violated, 2 if the store cannot be read.
    """
    from kcp.registry.verbs.records import stored_problem
    from kcp.server.process.storage import read_encryption_rules
    from kcp.store.backends import StorageOptions, backend_for, backend_of_file

    with errors_end(_UNREADABLE):
        options = StorageOptions(**choices)
        backend = (
            backend_for(options, read_encryption_rules)
            if file is None
            else backend_of_file(file, options, read_encryption_rules)
        )
        broken = _report(
            backend.check(lambda key, value, _: stored_problem(key, value), first=first, progress=_progress())
        )
    sys.exit(_BROKEN if broken else 0)


def _progress() -> Any:
    """Return a function that shows the current rule and the time on a terminal; None without a terminal."""
    if not sys.stderr.isatty():
        return None
    began, shown = time.monotonic(), 0.0

    def progress(name: str) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown > _UPDATE_SECONDS:
            shown = now
            click.echo(f"\r\x1b[K{name} ... {now - began:.0f} s", nl=False, err=True)

    return progress


def _report(findings: Iterable[Finding]) -> int:
    """Print a line for each rule and each shown violation. Returns the number of violations."""
    rules = broken = 0
    for finding in findings:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)
        rules += 1
        broken += finding.broken
        outcome = f"{finding.broken} BROKEN" if finding.broken else "ok"
        click.echo(f"{finding.name:<14} {outcome:<10} {finding.examined:>9}  {finding.invariant}")
        for violation in finding.first:
            click.echo(f"    {_described(violation)}")
        if finding.broken > len(finding.first):
            click.echo(f"    and {finding.broken - len(finding.first)} more")
    click.echo(f"{rules} rules, {broken} violations")
    return broken


def _described(violation: Violation) -> str:
    where = ""
    if violation.key is not None:
        resource, cluster, namespace, name = violation.key
        where = f"{cluster or '(server)'}: {resource} {f'{namespace}/' if namespace else ''}{name} "
    if violation.revision:
        where += f"at revision {violation.revision}"
    return f"{where.strip()}: {violation.what}" if where else violation.what
