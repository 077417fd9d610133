"""The flags of authorization. Named as kube-apiserver's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from kcp.cli import flags
from kcp.server.process.authorization_options import MODES, WEBHOOK_VERSIONS, AuthorizationOptions

Decorated = Callable[..., Any]

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_authorization = flags.group("Authorization")
_FLAGS: Final = (
    _authorization(
        "--authorization-mode",
        default="RBAC",
        type=flags.Words(),
        metavar="NAME,...",
        help=f"Authorizers in the order in which they are asked: {', '.join(MODES)}.",
    ),
    _authorization(
        "--authorization-config",
        type=_FILE,
        help="AuthorizationConfiguration of apiserver.config.k8s.io: authorizers in order, in place of --authorization-mode. "
        "Reloaded when it changes.",
    ),
    _authorization(
        "--authorization-webhook-config-file",
        type=_FILE,
        help="kubeconfig of the webhook of --authorization-mode Webhook.",
    ),
    _authorization(
        "--authorization-webhook-version",
        default="v1beta1",
        type=click.Choice(WEBHOOK_VERSIONS),
        help="Version of the SubjectAccessReviews that the webhook gets.",
    ),
    _authorization(
        "--authorization-webhook-cache-authorized-ttl",
        default="5m",
        type=flags.DurationType(),
        help="How long the webhook's answers are kept that allow a request.",
    ),
    _authorization(
        "--authorization-webhook-cache-unauthorized-ttl",
        default="30s",
        type=flags.DurationType(),
        help="How long the webhook's other answers are kept.",
    ),
)


def authorization_flags(command: Decorated) -> Decorated:
    """Add the flags to a command."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def take_authorization_options(choices: dict[str, Any]) -> AuthorizationOptions:
    """Take the values of the flags out of those of a command."""
    prefix = "authorization_"
    names = [name for name in choices if name.startswith(prefix)]
    return AuthorizationOptions(**{name.removeprefix(prefix): choices.pop(name) for name in names})
