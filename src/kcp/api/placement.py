"""Placement of objects on clusters: the names of labels, annotations and finalizers, and the names of copies.

The controllers of clusters, the syncer and the splitter share these. Upstream is kcp, downstream a Kubernetes cluster. A copy
downstream carries a mark (`MARK_LABEL`) and a locator (`LOCATOR_ANNOTATION`); what lacks either is not the syncer's.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

GROUP: Final = "workload.kcp.io"
CLUSTER_LABEL: Final = "kcp.io/cluster"
"""The label of an object upstream: the name of the Cluster that it is assigned to."""
OWNED_BY_LABEL: Final = "kcp.io/owned-by"
"""The label of a leaf: the name of the root that it is a part of (see `label_value`)."""
PLACED_ANNOTATION: Final = f"{GROUP}/placed"
"""The annotation of an object whose cluster the splitter has chosen: the name of that. One that a user has chosen stays."""
SYNC_ERROR_ANNOTATION: Final = f"{GROUP}/sync-error"
"""The annotation of an object upstream: why its cluster does not have its present state, as ``<reason>: <message>``."""
MARK_LABEL: Final = f"{GROUP}/cluster-uid"
"""The label of everything that a syncer creates downstream: the UID of the Cluster."""
LOCATOR_ANNOTATION: Final = f"{GROUP}/locator"
"""The annotation of everything that a syncer creates downstream: the `Locator` of its source, as JSON."""
FIELD_MANAGER: Final = "kcp-syncer"
"""The field manager of copies."""
FINALIZER_PREFIX: Final = f"{GROUP}/"
HELD_PREFIX: Final = f"syncer.{GROUP}/"
"""The prefix of the labels of `held_label`."""
SYNC_VERB: Final = "sync"
"""The verb on a Cluster that its syncer has: the server derives from it what the syncer may read and write."""
IDENTITY_NAMESPACE: Final = "kube-system"
"""The namespace whose UID identifies a logical cluster, and a Kubernetes cluster."""

_QUALIFIED_NAME: Final = 63
_OBJECT_NAME: Final = 253
_HASH: Final = 12
"""Characters of a hash in names: 60 bits."""
_SHORTENED: Final = re.compile(rf"-[a-z2-7]{{{_HASH}}}\Z")
"""The end of a name that was shortened."""
_SEPARATORS: Final = re.compile(r"[-.]+\Z")
"""What may not stand before the hash in names of several parts."""


class Locator(NamedTuple):
    """The source of a copy: an object of a logical cluster that is assigned to a Cluster.

    A copy of a namespace has neither ``name`` nor ``uid``: it outlives the namespace's deletion and creation.
    """

    logical_cluster: str
    logical_cluster_uid: str
    cluster: str
    cluster_uid: str
    namespace: str
    name: str = ""
    uid: str = ""

    def is_of(self, logical_cluster_uid: str, cluster_uid: str) -> bool:
        """Return whether the source is assigned to a Cluster of a logical cluster. Their UIDs count, not their names."""
        return (self.logical_cluster_uid, self.cluster_uid) == (logical_cluster_uid, cluster_uid)

    def encode(self) -> str:
        """Return the value of the annotation."""
        return json.dumps(dict(zip(_FIELDS, self, strict=True)), separators=(",", ":"))


_FIELDS: Final = ("logicalCluster", "logicalClusterUID", "cluster", "clusterUID", "namespace", "name", "uid")
"""The fields of the annotation, in the order of those of `Locator`."""


def decode_locator(text: object) -> Locator | None:
    """Return the locator of an annotation's value; None for a value that no syncer has written."""
    try:
        decoded = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(decoded, dict) or decoded.keys() != set(_FIELDS):
        return None
    values = [decoded[field] for field in _FIELDS]
    return Locator(*values) if all(isinstance(value, str) for value in values) else None


def locator_of(api_object: Mapping[str, Any]) -> Locator | None:
    """Return the locator of an object downstream; None if it has none."""
    annotations = (api_object.get("metadata") or {}).get("annotations") or {}
    return decode_locator(annotations.get(LOCATOR_ANNOTATION))


def mark_of(api_object: Mapping[str, Any]) -> str:
    """Return the mark of an object downstream: the UID of a Cluster, or ``""``."""
    value = ((api_object.get("metadata") or {}).get("labels") or {}).get(MARK_LABEL)
    return value if isinstance(value, str) else ""


def is_copy(api_object: Mapping[str, Any]) -> bool:
    """Return whether a syncer has made an object: a logical cluster can be the cluster of another one, or of itself."""
    return bool(mark_of(api_object)) and locator_of(api_object) is not None


def cluster_of(api_object: Mapping[str, Any]) -> str:
    """Return the name of the Cluster that an object upstream is assigned to, or ``""``."""
    value = ((api_object.get("metadata") or {}).get("labels") or {}).get(CLUSTER_LABEL)
    return value if isinstance(value, str) else ""


def finalizer(cluster: str) -> str:
    """Return the finalizer of objects upstream that have a copy on a cluster."""
    return FINALIZER_PREFIX + shorten(f"syncer-{cluster}", _QUALIFIED_NAME)


def held_label(cluster: str) -> str:
    """Return the label of objects upstream that have the finalizer of a cluster, by which the syncer finds them."""
    return f"{HELD_PREFIX}{cluster}"


def downstream_namespace(logical_cluster_uid: str, cluster_uid: str, namespace: str) -> str:
    """Return the name of the namespace on a cluster for a namespace of a logical cluster."""
    return f"kcp-{_hash(json.dumps([logical_cluster_uid, cluster_uid, namespace]))}"


def leaf_name(root: str, cluster: str, limit: int = _OBJECT_NAME) -> str:
    """Return the name of the part of a root object that runs on a cluster, of at most ``limit`` characters."""
    return shorten(f"{root}--{cluster}", limit)


def label_value(name: str) -> str:
    """Return the label value that stands for the name of an object."""
    return shorten(name, _QUALIFIED_NAME)


def shorten(name: str, limit: int) -> str:
    """Return a name, or if it is longer than ``limit``, its beginning and a hash of the whole, together as long as ``limit``.

    A name that could be such a shortened one gets a hash, too: no two names have the same result, whoever chooses them.
    """
    if len(name) < limit or (len(name) == limit and not _SHORTENED.search(name)):
        return name
    kept = _SEPARATORS.sub(lambda found: "x" * len(found[0]), name[: limit - _HASH - 1])
    return f"{kept}-{_hash(name)}"


def _hash(text: str) -> str:
    """Return a hash of a text in lower-case letters and digits."""
    digest = hashlib.sha256(text.encode()).digest()
    return base64.b32encode(digest).decode("ascii").lower()[:_HASH]
