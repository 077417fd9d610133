"""``kcp store check``: ask of a store whether everything is true of it that always is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from kcp.cli import flags
from kcp.cli.places import etcd_options, place_flags, place_of
from kcp.server.process.configuration import Configuration, ConfigurationError

if TYPE_CHECKING:
    from kcp.store.checking import Finding, Violation

_checking = flags.group("Checking")
_BROKEN: Final = 1
_USAGE: Final = 2
_AGAIN_SECONDS: Final = 0.2


@click.command(cls=flags.GroupedCommand)
@_checking(
    "--first",
    default=10,
    metavar="N",
    type=click.IntRange(min=0),
    help="Violations of each rule that are shown; all are counted.",
)
@place_flags
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path | None, first: int, **choices: Any) -> None:
    """Ask of a store whether everything is true of it that always is, and change nothing.

    Looks at the state of one moment; a server may be at work on it. Without FILE, at the log in the root directory; with
    --etcd-servers, at the log in etcd, and at the local copy of it in the root directory, where there is one.
    Ends with 0 when all is well, 1 when a rule is broken, 2 when there is nothing to look at.
    """
    from kcp.store.contract import StoreUnavailableError

    try:
        configuration = place_of(choices)
        if configuration.etcd_servers:
            if file is not None:
                _end("FILE and --etcd-servers cannot be given together")
            findings = _of_etcd(configuration, first)
        else:
            findings = _of_file(file or configuration.log_file, first)
        broken = _tell(findings)
    except ConfigurationError as error:
        _end(str(error))
    except StoreUnavailableError as error:
        _end(f"cannot read etcd at {', '.join(choices['etcd_servers'])}: {error}")
    sys.exit(_BROKEN if broken else 0)


def _of_file(path: Path, first: int) -> Iterable[Finding]:
    import apsw

    from kcp.registry.verbs.records import stored_problem
    from kcp.store import checking
    from kcp.store.tables import ForeignFileError, NewerFormatError

    try:
        log = checking.opened(path, examine=stored_problem)
    except FileNotFoundError:
        _end(f"{path} does not exist: say --root-directory of a server that has run, or the file")
    except (ForeignFileError, NewerFormatError) as error:
        _end(str(error))
    except apsw.Error as error:
        _end(f"{path} cannot be read as a log: {error}")
    try:
        yield from checking.check(log, first=first, progress=_progress())
    except checking.FileTakenError as error:
        _end(str(error))
    finally:
        log.connection.close()


def _of_etcd(configuration: Configuration, first: int) -> Iterable[Finding]:
    import asyncio

    from kcp.registry.verbs.records import stored_problem
    from kcp.store.etcd.access import EndpointError
    from kcp.store.etcd.checking import check_log

    options = etcd_options(configuration)
    try:
        return asyncio.run(check_log(options, configuration.data_directory, stored_problem, first, _progress()))
    except EndpointError as error:
        raise ConfigurationError(str(error)) from error


def _progress() -> Any:
    """Says on a terminal what is under way, and how long; None where nobody looks."""
    if not sys.stderr.isatty():
        return None
    began, shown = time.monotonic(), 0.0

    def progress(name: str) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown > _AGAIN_SECONDS:
            shown = now
            click.echo(f"\r\x1b[K{name} ... {now - began:.0f} s", nl=False, err=True)

    return progress


def _tell(findings: Iterable[Finding]) -> int:
    """One line for each rule, and one for each violation that is shown; returns how many there are."""
    rules = broken = 0
    for finding in findings:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)
        rules += 1
        broken += finding.broken
        outcome = f"{finding.broken} BROKEN" if finding.broken else "ok"
        click.echo(f"{finding.name:<14} {outcome:<10} {finding.examined:>9}  {finding.says}")
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


def _end(message: str) -> NoReturn:
    click.echo(f"kcp: {message}", err=True)
    sys.exit(_USAGE)
