"""The controllers that act with the server's identity: they sign with its CA, or with the keys of its service accounts.

Those that need nothing but the registry are listed in `kcp.controllers.manager`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kcp.controllers.account_secrets import TokenSecretController
from kcp.controllers.certificates import CertificateController
from kcp.controllers.manager import Controller, Manager
from kcp.registry.verbs.registry import Registry
from kcp.server.process.environment import Environment
from kcp.server.process.signing import AuthoritySigner


def identity_controllers(registry: Registry, environment: Environment) -> Sequence[Controller]:
    """Return the controllers, in the order in which they start."""
    identity, issuer = environment.identity, environment.service_accounts.issuer
    own, *_ = identity.client_authority_bundles
    signer, trust = AuthoritySigner(environment.configuration.data_directory, own), identity.trust.decode()
    return [
        Manager(
            registry,
            [
                lambda registry: TokenSecretController(registry, issuer, trust),
                lambda registry: CertificateController(registry, signer.sign),
            ],
        )
    ]
