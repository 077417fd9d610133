"""The objects that run a syncer in a Kubernetes cluster: its namespace, identity, permissions, kubeconfig and Deployment. Pure.

The permissions are those that a syncer uses: on the resources that are imported, on what they depend on, and on namespaces.
RBAC cannot restrict them to namespaces that do not exist yet, nor to objects with a label.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from typing import Any, Final, NamedTuple

import yaml

from kcp.api.kinds import GroupResource
from kcp.api.object_references import DEPENDENCIES
from kcp.client import APIResource
from kcp.client.objects import Object
from kcp.multicluster.clusters.accounts import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, RBAC, SERVICE_ACCOUNTS
from kcp.multicluster.clusters.api import HEARTBEAT_INTERVAL, KUBECONFIG_KEY, NAMESPACES
from kcp.multicluster.placement import GROUP, shorten
from kcp.multicluster.syncer.kinds import kinds
from kcp.multicluster.syncer.token_renewal import TOKEN_EXPIRES_ANNOTATION, TOKEN_KEY

DEPLOYMENTS: Final = APIResource("apps", "v1", "deployments", "Deployment")
INSTALLED_LABEL: Final = f"{GROUP}/syncer-of"
"""The label of the installed objects: the UID of the Cluster. (The mark of copies is another one.)"""
DIGEST_ANNOTATION: Final = f"{GROUP}/kubeconfig-digest"
"""The annotation of the Pods that rolls them when the kubeconfig changes. The token is read again while they run."""
ACCOUNT_UID_ANNOTATION: Final = f"{GROUP}/service-account-uid"
"""The annotation of the Secret that says for which service account its token is."""
_NAME: Final = 63
_UID: Final = 8
_MOUNT: Final = "/kcp"
_METRICS_PORT: Final = 8080
_DEPENDENCIES: Final = tuple(GroupResource("", plural) for plural in sorted(DEPENDENCIES))
"""What workloads name, which follows them to their cluster."""
_SYNCED: Final = ["get", "list", "watch", "create", "update", "patch", "delete"]
_READ: Final = ["get", "list", "watch"]


class Upstream(NamedTuple):
    """How a syncer reaches its logical cluster: the address, with the path, and the CA certificates to trust, in PEM."""

    server: str
    certificate_authority: bytes
    tls_server_name: str = ""


class Syncer(NamedTuple):
    """A syncer to install. ``resources`` are those that are imported from the cluster; times are in seconds."""

    cluster: str
    cluster_uid: str
    image: str
    upstream: Upstream
    resources: Collection[GroupResource]
    heartbeat_interval: float = HEARTBEAT_INTERVAL

    @property
    def name(self) -> str:
        """The name of its namespace and of the objects in it: unique for each Cluster of each logical cluster."""
        suffix = f"-{self.cluster_uid[:_UID]}"
        return shorten(f"kcp-syncer-{self.cluster}", _NAME - len(suffix)) + suffix


class Token(NamedTuple):
    """A token of the syncer's service account in kcp."""

    text: str
    expires: str
    account_uid: str


Installed = tuple[APIResource, Object]


def objects_of(syncer: Syncer) -> list[Installed]:
    """Return the objects to apply in their order, without the Secret."""
    return [
        (NAMESPACES, {"metadata": _metadata(syncer, namespaced=False)}),
        (SERVICE_ACCOUNTS, {"metadata": _metadata(syncer)}),
        (CLUSTER_ROLES, {"metadata": _metadata(syncer, namespaced=False), "rules": _rules(syncer)}),
        (CLUSTER_ROLE_BINDINGS, _binding(syncer)),
        (DEPLOYMENTS, _deployment(syncer)),
    ]


def secret_of(syncer: Syncer, token: Token) -> Object:
    """Return the Secret with the kubeconfig and the token, in a file of its own, which the syncer reads again."""
    metadata = _metadata(syncer)
    metadata["annotations"] = {TOKEN_EXPIRES_ANNOTATION: token.expires, ACCOUNT_UID_ANNOTATION: token.account_uid}
    data = {KUBECONFIG_KEY: kubeconfig_of(syncer.upstream), TOKEN_KEY: token.text}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"metadata": metadata, "type": "Opaque", "data": encoded}


def kubeconfig_of(upstream: Upstream, token: str = "") -> str:
    """Return the kubeconfig of the logical cluster with a token; by default it is in the file ``token`` beside it."""
    cluster = {
        "server": upstream.server,
        "certificate-authority-data": base64.b64encode(upstream.certificate_authority).decode(),
        "tls-server-name": upstream.tls_server_name,
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kcp", "cluster": {name: value for name, value in cluster.items() if value}}],
        "users": [{"name": "syncer", "user": {"token": token} if token else {"tokenFile": TOKEN_KEY}}],
        "contexts": [{"name": "kcp", "context": {"cluster": "kcp", "user": "syncer"}}],
        "current-context": "kcp",
    }
    return yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False)


def documents(installed: Collection[Installed]) -> str:
    """Return objects as YAML documents, for ``kubectl apply``."""
    bodies = [{"apiVersion": each.api_version, "kind": each.kind, **body} for each, body in installed]
    return yaml.dump_all(bodies, Dumper=_Dumper, sort_keys=False)


class _Dumper(yaml.CSafeDumper):
    """Writes equal values each time: `kubectl` needs no anchors, nor do people."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _metadata(syncer: Syncer, *, namespaced: bool = True) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/name": "kcp-syncer",
        "app.kubernetes.io/managed-by": "kcp",
        INSTALLED_LABEL: syncer.cluster_uid,
    }
    place = {"namespace": syncer.name} if namespaced else {}
    return {"name": syncer.name, **place, "labels": labels}


def _rules(syncer: Syncer) -> list[dict[str, Any]]:
    return [
        {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["create", *_READ, "update", "patch", "delete"]},
        {"apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": _READ},
        *_rules_for([each.group_resource for each in kinds().owned.values()], ["get"]),
        *_rules_for((*_DEPENDENCIES, *syncer.resources), _SYNCED),
    ]


def _rules_for(resources: Collection[GroupResource], verbs: list[str]) -> list[dict[str, Any]]:
    """Return a rule for each API group of some resources."""
    groups: dict[str, set[str]] = {}
    for resource in resources:
        groups.setdefault(resource.group, set()).add(resource.resource)
    return [
        {"apiGroups": [group], "resources": sorted(plurals), "verbs": verbs}
        for group, plurals in sorted(groups.items())
    ]


def _binding(syncer: Syncer) -> Object:
    subject = {"kind": "ServiceAccount", "name": syncer.name, "namespace": syncer.name}
    role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": syncer.name}
    return {"metadata": _metadata(syncer, namespaced=False), "subjects": [subject], "roleRef": role}


def _deployment(syncer: Syncer) -> Object:
    selector = {INSTALLED_LABEL: syncer.cluster_uid}
    digest = hashlib.sha256(kubeconfig_of(syncer.upstream).encode()).hexdigest()
    metadata = _metadata(syncer)
    template = {
        "metadata": {"labels": metadata["labels"], "annotations": {DIGEST_ANNOTATION: digest}},
        "spec": {
            "serviceAccountName": syncer.name,
            "containers": [_container(syncer)],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "kcp", "secret": {"secretName": syncer.name}}],
        },
    }
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": selector},
        "template": template,
    }
    return {"metadata": metadata, "spec": spec}


def _container(syncer: Syncer) -> dict[str, Any]:
    return {
        "name": "syncer",
        "image": syncer.image,
        "args": [
            "syncer",
            f"--from-kubeconfig={_MOUNT}/{KUBECONFIG_KEY}",
            f"--cluster={syncer.cluster}",
            f"--cluster-uid={syncer.cluster_uid}",
            f"--token-secret={syncer.name}/{syncer.name}",
            f"--heartbeat-interval={syncer.heartbeat_interval:g}s",
            f"--listen=0.0.0.0:{_METRICS_PORT}",
        ],
        "ports": [{"name": "metrics", "containerPort": _METRICS_PORT, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}},
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "metrics"}},
        "resources": {"requests": {"cpu": "20m", "memory": "96Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "kcp", "mountPath": _MOUNT, "readOnly": True}],
    }
