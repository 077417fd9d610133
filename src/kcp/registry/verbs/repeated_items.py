"""Lists of Kubernetes' kinds whose items may repeat, though the kind's OpenAPI declares list maps and sets.

Those list types are for merging. kube-apiserver refuses repeated items by the validation of the kind (pkg/apis/*/validation of
k8s.io/kubernetes 1.36), which these lists are left out of. All other list maps and sets of its OpenAPI are unique there too.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from kcp.schema.value_predicates import identity


class MayRepeat(NamedTuple):
    """Lists whose items may repeat, and why; no kinds stand for all of them."""

    lists: re.Pattern[str]
    why: str
    kinds: frozenset[str] = frozenset()
    as_a_whole: bool = True
    """Whether equal items may repeat, and not only different ones of the same key."""


def _row(lists: str, why: str, *kinds: str, as_a_whole: bool = True) -> MayRepeat:
    return MayRepeat(re.compile(lists + "$"), why, frozenset(kinds), as_a_whole)


MAY_REPEAT: Final = (
    _row(
        r"\.(?:env|hostAliases|imagePullSecrets|(?:containers|initContainers|ephemeralContainers)\[\d+\]\.ports)",
        "kube-apiserver only warns",
    ),
    _row(
        r"^status\.addresses",
        "a type has an address of each IP family; type and address together are unique",
        "Node",
        as_a_whole=False,
    ),
    _row(
        r"^status\.conditions",
        "only controllers write them, and the status of these kinds is not validated",
        *("APIService", "ComponentStatus", "DaemonSet", "Deployment", "HorizontalPodAutoscaler", "Node"),
        *(
            "PersistentVolumeClaim",
            "Pod",
            "ReplicaSet",
            "ReplicationController",
            "Service",
            "ServiceCIDR",
            "StatefulSet",
        ),
    ),
    _row(
        r"^status\.(?:containerStatuses|initContainerStatuses|ephemeralContainerStatuses)\[\d+\]\.volumeMounts",
        "only the kubelet writes them",
        "Pod",
    ),
    _row(r"^endpoints\[\d+\]\.addresses", "addresses are validated one by one", "EndpointSlice"),
    _row(
        r"^spec\.rules\[\d+\]\.(?:resourceRules|nonResourceRules)\[\d+\]\."
        r"(?:apiGroups|namespaces|nonResourceURLs|resources|verbs)",
        "they are compared as sets",
        "FlowSchema",
    ),
    _row(r"^spec\.volumeLifecycleModes", "modes are validated one by one", "CSIDriver"),
)


def may_repeat(kind: str, path: str, items: list[Any]) -> bool:
    """Whether kube-apiserver accepts that items of a list of this kind repeat."""
    for row in MAY_REPEAT:
        if (not row.kinds or kind in row.kinds) and row.lists.search(path):
            return row.as_a_whole or len(set(map(identity, items))) == len(items)
    return False
