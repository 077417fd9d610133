"""``kcp store``: what is done with a store, besides serving from it."""

from __future__ import annotations

import click

from kcp.cli.checking import check
from kcp.cli.moving import export, import_


@click.group()
def store() -> None:
    """Look after a store: check, export, import."""


store.add_command(check)
store.add_command(export)
store.add_command(import_)
