"""Namespaces (core/v1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Final

from kcp.api import field_errors, metadata, names
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import mapping, sequence, text, texts
from kcp.builtin.strategy import BuiltinStrategy
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object
from kcp.registry.verbs.namespaces import ALWAYS_THERE, virtual_namespaces

NAME_LABEL: Final = "kubernetes.io/metadata.name"


class NamespaceStrategy(BuiltinStrategy):
    """Namespaces: labelled with their name, and removed once their contents are deleted."""

    selectable: ClassVar[frozenset[str]] = frozenset({"status.phase"})
    default_sets_labels: ClassVar[bool] = True
    deletion_keeps_object: ClassVar[bool] = True
    deletion_has_grace_period: ClassVar[bool] = False
    status_takes_metadata: ClassVar[bool] = True
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {}, "status": {}}
    owned_as_sent: ClassVar[tuple[str, ...]] = ("spec",)
    virtual_names: ClassVar[Collection[str]] = ALWAYS_THERE

    def name_errors(self, name: str) -> list[str]:
        return names.is_dns1123_label(name)

    def default(self, obj: Object) -> None:
        super().default(obj)
        meta = obj.get("metadata")
        if isinstance(meta, dict):
            _label_with_name(meta)

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        obj["status"] = {"phase": "Active"}
        finalizers = sequence(mapping(obj, "spec"), "finalizers")
        if "kubernetes" not in finalizers:
            obj["spec"] = {**mapping(obj, "spec"), "finalizers": [*finalizers, "kubernetes"]}
        _label_with_name(obj["metadata"])

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        obj["spec"] = {**mapping(obj, "spec")}
        finalizers = mapping(old, "spec").get("finalizers")
        if finalizers:
            obj["spec"]["finalizers"] = finalizers
        else:
            obj["spec"].pop("finalizers", None)

    def validate(self, obj: Object) -> list[FieldError]:
        found = []
        for index, finalizer in enumerate(texts(mapping(obj, "spec"), "finalizers")):
            path = f"spec.finalizers[{index}]"
            found += [field_errors.invalid(path, finalizer, why) for why in names.is_qualified_name(finalizer)]
        return found + metadata.validate_finalizer_domains(texts(mapping(obj, "spec"), "finalizers"), "spec.finalizers")

    def prepare_for_status_update(self, obj: Object, old: Object) -> None:
        status = obj["status"] = mapping(obj, "status")
        if not status.get("phase"):
            obj["status"] = {**status, "phase": "Active"}

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        phase = text(mapping(obj, "status"), "phase")
        ending = bool(old["metadata"].get("deletionTimestamp"))
        wanted, when = ("Terminating", "is not empty") if ending else ("Active", "is empty")
        if phase == wanted:
            return []
        return [field_errors.invalid("status.Phase", phase, f"may only be '{wanted}' if `deletionTimestamp` {when}")]

    def prepare_for_delete(self, obj: Object, context: RequestContext) -> None:
        obj["status"] = {**mapping(obj, "status"), "phase": "Terminating"}

    def check_deletable(self, name: str) -> str | None:
        return "this namespace may not be deleted" if name in ALWAYS_THERE else None

    def blocks_deletion(self, obj: Object) -> bool:
        return bool(mapping(obj, "spec").get("finalizers"))

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        return {"status.phase": text(mapping(obj, "status"), "phase")}

    @staticmethod
    def _finalized(sent: Object, old: Object) -> Object:
        changed = {**sent, "status": old.get("status", {})}
        changed["spec"] = {name: value for name, value in mapping(sent, "spec").items() if value}
        return changed

    subresource_updates: ClassVar[Mapping[str, Callable[[Object, Object], Object]]] = {"finalize": _finalized}

    def virtual_objects(self, cluster: LogicalClusterName) -> Sequence[Object]:
        return virtual_namespaces(cluster, self.context.server_uid, self.context.created)


def _label_with_name(meta: dict[str, Any]) -> None:
    name, labels = text(meta, "name"), meta.get("labels")
    if name and (labels is None or isinstance(labels, dict)):
        meta["labels"] = {**(labels or {}), NAME_LABEL: name}
