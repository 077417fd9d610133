"""The context of the built-in types' strategies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kcp.auth.authentication.authenticator import TokenReviewer
from kcp.auth.authorization.authorizer import Authorizer
from kcp.auth.authorization.rbac.escalation import EscalationCheck
from kcp.auth.service_accounts.issuer import TokenIssuer

Definition = dict[str, Any]

DEFAULT_EVENT_LIFETIME: Final = 3600
"""kube-apiserver's default of ``--event-ttl``, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinContext:
    """The parts of a server that strategies use.

    ``server_uid`` and ``created`` (RFC 3339) identify the virtual namespaces. ``authorizer`` and ``tokens`` answer reviews;
    ``escalation`` checks writes of roles and bindings; ``issuer`` answers TokenRequests. ``trust`` are the CA certificates that
    clients must trust, in PEM form; ``publishes_trust`` says whether every namespace has them in ``kube-root-ca.crt``.
    ``event_lifetime`` is in seconds.
    """

    server_uid: str
    created: str
    authorizer: Authorizer
    tokens: TokenReviewer
    escalation: EscalationCheck
    issuer: TokenIssuer | None = None
    trust: str = ""
    publishes_trust: bool = True
    event_lifetime: int = DEFAULT_EVENT_LIFETIME
    reserved: Sequence[Definition] = ()
    """The names of the built-in types, in the form of definitions: no CRD may take them. Set by `builtin_types`."""
