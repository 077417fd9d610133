"""Kubeconfig files (client-go's ``v1 Config``), formatted here so that the text is stable."""

from __future__ import annotations

import base64
from typing import Final

from kcp.logical_clusters import DEFAULT, LogicalClusterName, path_of

USER_CLUSTER: Final = LogicalClusterName("user")


def _entry(name: str, server: str, authority: str) -> str:
    return f"- name: {name}\n  cluster:\n    certificate-authority-data: {authority}\n    server: {server}\n"


def administrator(server: str, authority: bytes, token: str) -> bytes:
    """Return the kubeconfig of the administrator: ``admin`` for the default logical cluster, ``user`` for ``/clusters/user``."""
    encoded = base64.b64encode(authority).decode()
    return (
        "apiVersion: v1\n"
        "kind: Config\n"
        "current-context: admin\n"
        "preferences: {}\n"
        "clusters:\n"
        + _entry(DEFAULT, server, encoded)
        + _entry(USER_CLUSTER, f"{server}{path_of(USER_CLUSTER)}", encoded)
        + "contexts:\n"
        f"- name: admin\n  context:\n    cluster: {DEFAULT}\n    user: admin\n"
        f"- name: user\n  context:\n    cluster: {USER_CLUSTER}\n    user: admin\n"
        "users:\n"
        f"- name: admin\n  user:\n    token: {token}\n"
    ).encode()
