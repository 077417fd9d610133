"""An ordinary user of the measured server, with rights by bindings, to be measured beside ``system:masters``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from bench.client import Connection, Peer

NAME: Final = "ordinary"
_TOKEN: Final = "an-ordinary-user-s-token"
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_GROUP: Final = "rbac.authorization.k8s.io"
BINDINGS: Final = 20
"""Bindings of the user: the last one grants what the load needs, the others grant reading of other resources."""


def token_file(folder: Path) -> Path:
    """Write a file for ``--token-auth-file`` with the user's token."""
    path = folder / "tokens.csv"
    path.write_text(f'{_TOKEN},{NAME},uid-1,"developers,employees"\n')
    return path


async def grant(peer: Peer) -> Peer:
    """Give the user its bindings, and return the server as this user calls it. Raises RuntimeError."""
    async with Connection(peer) as connection:
        for number in range(1, BINDINGS + 1):
            name, rules = f"{NAME}-{number}", _rules(number)
            binding = {
                "metadata": {"name": name},
                "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": _GROUP, "kind": "User", "name": NAME}],
            }
            await _create(connection, f"{_RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
            await _create(connection, f"{_RBAC}/namespaces/default/rolebindings", binding)
    return Peer(f"{peer.name}, {NAME}", peer.url, _TOKEN, peer.pid)


def _rules(number: int) -> list[dict[str, Any]]:
    if number < BINDINGS:
        return [{"verbs": ["get", "list", "watch"], "apiGroups": [f"g{number}.example.com"], "resources": ["things"]}]
    return [{"verbs": ["*"], "apiGroups": ["", "example.com"], "resources": ["configmaps", "widgets"]}]


async def _create(connection: Connection, path: str, body: dict[str, Any]) -> None:
    status, answer = await connection.request("POST", path, body)
    if status not in (201, 409):
        raise RuntimeError(f"{path}: {status}: {answer[:300]!r}")
