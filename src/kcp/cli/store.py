"""``kcp store``: what is done with a store, besides serving from it."""

from __future__ import annotations

import click

from kcp.cli.checking import check


@click.group()
def store() -> None:
    """Look after a store."""


store.add_command(check)
