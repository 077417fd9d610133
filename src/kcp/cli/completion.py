"""``kcp completion``: the shell's part of completing ``kcp`` commands and flags."""

from __future__ import annotations

import click

_SETUP = {
    "bash": "source <(kcp completion bash)",
    "zsh": "source <(kcp completion zsh)",
    "fish": "kcp completion fish | source",
}


@click.command()
@click.argument("shell", type=click.Choice(sorted(_SETUP)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell's completion script.

    Load it in the running shell, or from the shell's start file:

    \b
      bash: source <(kcp completion bash)
      zsh:  source <(kcp completion zsh)
      fish: kcp completion fish | source
    """
    from click.shell_completion import get_completion_class

    root = context.find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    if shell == "bash":
        # click asks the installed bash for its version, which may not be there where the script is made.
        kind = type("Bash", (kind,), {"_check_version": staticmethod(lambda: None)})
    click.echo(kind(root, {}, "kcp", "_KCP_COMPLETE").source())
