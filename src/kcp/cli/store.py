"""``kcp store``: the commands about a store."""

from __future__ import annotations

import click

from kcp.cli.store_check import check
from kcp.cli.transfer import export, import_


@click.group()
def store() -> None:
    """Check, export and import a store."""


store.add_command(check)
store.add_command(export)
store.add_command(import_)
