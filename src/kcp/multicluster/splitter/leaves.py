"""Leaves: the parts of a root object, one for each cluster that has copies of it. What they are like, and what they report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from kcp.logical_clusters import ANNOTATION
from kcp.multicluster.placement import (
    CLUSTER_LABEL,
    GROUP,
    OWNED_BY_LABEL,
    SYNC_ERROR_ANNOTATION,
    label_value,
    leaf_name,
)
from kcp.multicluster.splitter.kinds import SplitKind
from kcp.multicluster.workloads import controller_reference, copies, count

Object = dict[str, Any]

TEMPLATE_GENERATION_ANNOTATION: Final = f"{GROUP}/template-generation"
"""The annotation of a leaf: the generation in which it got its template. A cluster that has observed it runs that template."""
_DIGITS: Final = 18
"""Digits of a generation; users can write longer ones."""
STRATEGY_ANNOTATION: Final = f"{GROUP}/strategy"
"""The annotation of a leaf: the digest of the root's strategy from which its own was made, which may have other limits."""
_NOT_COPIED: Final = (
    ANNOTATION,
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
)


class Leaf(NamedTuple):
    """The state of a leaf: its copies by its spec, and what its cluster reports of them.

    ``observed``: whether the report is of its present spec; ``template``: whether it has the template of the root;
    ``template_observed``: whether the report is of its template, though perhaps of another number of copies; ``strategy``:
    whether its strategy was made from that of the root.
    """

    cluster: str
    wanted: int
    available: int
    updated: int
    present: int
    observed: bool
    template: bool
    template_observed: bool
    strategy: bool
    deleting: bool
    object: Object

    @property
    def complete(self) -> bool:
        """Whether all copies have the template of the root and are available."""
        return self.observed and self.template and self.updated == self.present == self.wanted <= self.available

    @property
    def fully_available(self) -> bool:
        """Whether all copies are available; those of a Job have succeeded."""
        return self.available >= self.wanted

    @property
    def unavailable(self) -> int:
        """How many copies are not available."""
        return max(0, self.wanted - self.available)


def with_spec(found: Object) -> Object:
    """Return an object that has a spec: schemas of clusters need not require one."""
    return found if "spec" in found else {**found, "spec": {}}


def wanted_copies(kind: SplitKind, root: Object) -> int:
    """Return the number of copies that a root wants."""
    return copies(root["spec"], kind.copies)


def leaf_of(kind: SplitKind, root: Object, found: Object) -> Leaf:
    """Return the state of a leaf."""
    meta, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    wanted, present = wanted_copies(kind, found), count(status, "replicas")
    observed, generation = count(status, "observedGeneration"), int(meta.get("generation", 1))
    return Leaf(
        cluster=(meta.get("labels") or {}).get(CLUSTER_LABEL, ""),
        wanted=wanted,
        available=min(wanted, count(status, kind.available)),
        updated=count(status, kind.updated) if kind.updated else present,
        present=present,
        observed=observed >= generation,
        template=not kind.updated or spec.get("template") == root["spec"].get("template"),
        template_observed=observed >= _template_generation(meta, generation),
        strategy=_annotation(meta, STRATEGY_ANNOTATION) == _strategy_digest(kind, root),
        deleting="deletionTimestamp" in meta,
        object=found,
    )


def _annotation(meta: Object, name: str) -> str:
    return str((meta.get("annotations") or {}).get(name, ""))


def _template_generation(meta: Object, default: int) -> int:
    """Return the generation in which a leaf got its template; the default where that is not known."""
    text = _annotation(meta, TEMPLATE_GENERATION_ANNOTATION)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else default


def _strategy_digest(kind: SplitKind, root: Object) -> str:
    """Return the digest of the strategy of a root; empty for a kind without one."""
    if not kind.strategy:
        return ""
    strategy = orjson.dumps(root["spec"].get(kind.strategy), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(strategy).hexdigest()[:16]


def new_leaf(kind: SplitKind, root: Object, cluster: str, numbers: Mapping[str, int], part: int = 1) -> Object:
    """Return a leaf of a root for a cluster. ``numbers`` are the fields of the spec that are split.

    ``part`` is its number among the leaves of the root on the cluster.
    """
    meta = root["metadata"]
    own = {TEMPLATE_GENERATION_ANNOTATION: "1"} if kind.updated else {}
    if kind.strategy:
        own[STRATEGY_ANNOTATION] = _strategy_digest(kind, root)
    return {
        "apiVersion": kind.resource.api_version,
        "kind": kind.resource.kind,
        "metadata": {
            "name": leaf_name(meta["name"], cluster if part == 1 else f"{cluster}--{part}", kind.name_limit),
            "namespace": meta["namespace"],
            "labels": _labels(meta, cluster),
            "annotations": {**_annotations(meta), **own},
            "ownerReferences": [controller_reference(kind.resource, root)],
        },
        "spec": {**root["spec"], **numbers},
    }


def changed_leaf(
    kind: SplitKind, root: Object, leaf: Leaf, numbers: Mapping[str, int], strategy: Object | None, *, template: bool
) -> Object | None:
    """Return a leaf as it has to be, None if it is so.

    It gets the template of the root with ``template``, and a ``strategy`` unless that is None; else it keeps its own.
    """
    found = leaf.object
    meta, spec = found["metadata"], found["spec"]
    wanted = {**root["spec"], **numbers}
    labels = {**_labels(root["metadata"], leaf.cluster), **_of_controllers(meta, "labels")}
    annotations = {**_annotations(root["metadata"]), **_of_controllers(meta, "annotations")}
    if kind.strategy:
        if strategy is not None:
            annotations[STRATEGY_ANNOTATION] = _strategy_digest(kind, root)
        own = spec.get(kind.strategy) if strategy is None else strategy
        wanted = {**wanted, kind.strategy: own} if own is not None else _without(wanted, kind.strategy)
    if not template:
        wanted = {**_without(wanted, "template"), **({"template": spec["template"]} if "template" in spec else {})}
    elif kind.updated and wanted.get("template") != spec.get("template"):
        annotations[TEMPLATE_GENERATION_ANNOTATION] = str(int(meta.get("generation", 1)) + 1)
    current = {name: value for name, value in (meta.get("annotations") or {}).items() if name != ANNOTATION}
    if spec == wanted and (meta.get("labels") or {}) == labels and current == annotations:
        return None
    return {**found, "metadata": {**meta, "labels": labels, "annotations": annotations}, "spec": wanted}


def _without(spec: Object, field: str) -> Object:
    return {name: value for name, value in spec.items() if name != field}


def _labels(meta: Object, cluster: str) -> dict[str, str]:
    owned_by = label_value(meta["name"])
    copied = {name: value for name, value in (meta.get("labels") or {}).items() if not _is_of_controllers(name)}
    return {**copied, CLUSTER_LABEL: cluster, OWNED_BY_LABEL: owned_by}


def _annotations(meta: Object) -> dict[str, str]:
    return {
        name: value
        for name, value in (meta.get("annotations") or {}).items()
        if name not in _NOT_COPIED and not _is_of_controllers(name)
    }


def _of_controllers(meta: Object, field: str) -> dict[str, str]:
    return {name: value for name, value in (meta.get(field) or {}).items() if _is_of_controllers(name)}


def _is_of_controllers(name: str) -> bool:
    """Return whether a label or annotation is the syncer's or the splitter's."""
    domain = name.partition("/")[0]
    return domain == GROUP or domain.endswith(f".{GROUP}")


def controllers(object_: Object) -> Iterable[str]:
    """Return the UID of the controller of an object, for an index."""
    return [each["uid"] for each in object_["metadata"].get("ownerReferences") or () if each.get("controller")]


def controller_name(object_: Object, kind: str) -> str:
    """Return the name of the controller of an object, if it is of a kind; else nothing."""
    for each in object_["metadata"].get("ownerReferences") or ():
        if each.get("controller") and each.get("kind") == kind:
            return str(each.get("name", ""))
    return ""


def sync_error(leaf: Leaf) -> str:
    """Return why the cluster of a leaf does not have its present state; empty if it has."""
    return _annotation(leaf.object["metadata"], SYNC_ERROR_ANNOTATION)
