"""Errors of a Kubernetes cluster as messages for the users of a logical cluster, without secrets. Pure functions.

The address of a cluster is a user's choice, and may be that of any server that the controller reaches: what is no Status of
Kubernetes is not repeated. A server may repeat the credentials that it was sent: they are removed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kcp.client.errors import described

_REMOVED: Final = "<removed>"
_SHORTEST: Final = 4
"""Characters of the shortest secret that is looked for: shorter ones are in every text."""


class Secrets(NamedTuple):
    """The secret texts of a kubeconfig."""

    texts: tuple[str, ...] = ()

    def removed_from(self, message: str) -> str:
        """Return a message without the secrets."""
        for secret in self.texts:
            if len(secret) >= _SHORTEST:
                message = message.replace(secret, _REMOVED)
        return message

    def described(self, error: Exception) -> str:
        """Return an error without the secrets."""
        return self.removed_from(described(error))
