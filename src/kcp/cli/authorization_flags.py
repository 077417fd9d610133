"""The flags of authorization. Named as kube-apiserver's."""

from __future__ import annotations

from typing import Final

import click

from kcp.cli.flags import Flag, OptionFlags
from kcp.server.process.authorization_options import MODES, WEBHOOK_VERSIONS, AuthorizationOptions

authorization_flags: Final = OptionFlags(
    "Authorization",
    AuthorizationOptions,
    {
        "--authorization-mode": Flag("mode", f"Authorizers in the order in which they are asked: {', '.join(MODES)}."),
        "--authorization-config": Flag(
            "config",
            "AuthorizationConfiguration of apiserver.config.k8s.io: authorizers in order, in place of --authorization-mode. "
            "Reloaded when it changes.",
        ),
        "--authorization-webhook-config-file": Flag(
            "webhook_config_file", "kubeconfig of the webhook of --authorization-mode Webhook."
        ),
        "--authorization-webhook-version": Flag(
            "webhook_version",
            "Version of the SubjectAccessReviews that the webhook gets.",
            {"type": click.Choice(WEBHOOK_VERSIONS)},
        ),
        "--authorization-webhook-cache-authorized-ttl": Flag(
            "webhook_cache_authorized_ttl", "How long the webhook's answers are kept that allow a request."
        ),
        "--authorization-webhook-cache-unauthorized-ttl": Flag(
            "webhook_cache_unauthorized_ttl", "How long the webhook's other answers are kept."
        ),
    },
)
