"""``kcp compat``: what a new CustomResourceDefinition breaks, for the CI of its authors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from kcp.cli import flags
from kcp.cli.store_options import end

if TYPE_CHECKING:
    from collections.abc import Callable

    from kcp.cli.definition_files import DefinitionFile
    from kcp.schema.compatibility import Incompatibility
    from kcp.schema.raw_schemas import Raw

_output = flags.group("Output")
_FILE: Final = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
_BREAKS: Final = 1
_UNREADABLE: Final = 2
_REMOVED: Final = "the definition was removed"


class _Result(NamedTuple):
    """The result for one definition; its name is empty for a bare schema, and ``common`` is the common one if wanted."""

    name: str
    found: list[Incompatibility]
    common: Raw | None = None


@click.command(cls=flags.GroupedCommand, short_help="Find what new definitions break.")
@_output("--lcd", is_flag=True, help="Print the lowest common definition: what objects of both definitions can have.")
@_output(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    help="Form of the output: a line for each break and definitions as YAML, or one JSON object.",
)
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
def compat(old: Path, new: Path, lcd: bool, output: str) -> None:
    """Find what breaks clients and stored objects when the definitions in NEW replace those in OLD.

    OLD and NEW are files with CustomResourceDefinitions, or with a bare schema (openAPIV3Schema), as YAML or JSON; - is standard
    input. Every object that is valid by OLD must be valid by NEW, keep its fields, and mean the same; what NEW adds is no break.
    Prints a line for each break: its path, and what breaks. What cannot be decided counts as a break.

    With --lcd, prints the lowest common definition, whose objects OLD and NEW both accept and keep, or why there is none.

    The exit code is 0 if NEW is compatible (with --lcd: if there is a common definition), 1 if it is not, 2 if a file cannot be
    read or a definition is invalid.
    """
    from kcp.cli.definition_files import UnreadableError, read_definitions
    from kcp.schema.compatibility import InvalidSchemaError

    if str(old) == str(new) == "-":
        raise click.UsageError("only one of OLD and NEW can be standard input")
    try:
        before, after = (read_definitions(file, _content(file)) for file in (old, new))
        if (before.schema is None) != (after.schema is None):
            raise UnreadableError("one file has a schema and the other a definition")
        results = _results(before, after, common=lcd)
    except UnreadableError as error:
        end(str(error), _UNREADABLE)
    except InvalidSchemaError as error:
        for each in error.errors:
            click.echo(f"kcp: invalid: {each}", err=True)
        sys.exit(_UNREADABLE)
    _print_json(results, lcd=lcd) if output == "json" else _print_text(results, lcd=lcd)
    sys.exit(_BREAKS if any(result.found for result in results) else 0)


def _content(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        end(f"{file}: {error.strerror}", _UNREADABLE)


def _results(old: DefinitionFile, new: DefinitionFile, *, common: bool) -> list[_Result]:
    from kcp.schema import compatibility

    if old.schema is not None and new.schema is not None:
        if not common:
            return [_Result("", compatibility.compare(old.schema, new.schema))]
        return [_common("", compatibility.lowest_common_schema, old.schema, new.schema)]
    results = []
    for name, definition in old.definitions.items():
        other = new.definitions.get(name)
        if other is None:
            results.append(_Result(name, [compatibility.Incompatibility("", _REMOVED)]))
        elif common:
            results.append(_common(name, compatibility.lowest_common_definition, definition, other))
        else:
            results.append(_Result(name, compatibility.compare_definitions(definition, other)))
    return results


def _common(name: str, find: Callable[[Raw, Raw], Raw], old: Raw, new: Raw) -> _Result:
    from kcp.schema.compatibility import NoCommonSchemaError

    try:
        return _Result(name, [], find(old, new))
    except NoCommonSchemaError as error:
        return _Result(name, error.incompatibilities)


def _print_text(results: list[_Result], *, lcd: bool) -> None:
    """Print definitions to standard output; breaks too, unless definitions are wanted there."""
    from kcp.api.documents import encode_yaml

    for result in results:
        prefix = f"{result.name}: " if len(results) > 1 else ""
        for each in result.found:
            click.echo(f"{prefix}{each}", err=lcd)
    found = [encode_yaml(result.common).decode() for result in results if result.common is not None]
    click.echo("---\n".join(found), nl=False)


def _print_json(results: list[_Result], *, lcd: bool) -> None:
    import orjson

    breaks = [
        {**({"definition": result.name} if result.name else {}), **each.as_json()}
        for result in results
        for each in result.found
    ]
    shown: dict[str, Any] = {"compatible": not breaks, "incompatibilities": breaks}
    if lcd:
        shown = {
            "common": [result.common for result in results if result.common is not None],
            "incompatibilities": breaks,
        }
    click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
