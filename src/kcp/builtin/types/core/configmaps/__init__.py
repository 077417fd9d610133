"""ConfigMaps (core/v1)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Final

from kcp.api import field_errors
from kcp.api.field_errors import MAX_ERRORS, FieldError
from kcp.builtin.fields import canonical_bytes, decoded_size, mapping
from kcp.builtin.rules.virtual_objects import virtual_metadata
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.builtin.types.core.data import MAX_BYTES, immutability_errors, key_errors
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.contexts import RequestContext
from kcp.registry.types.strategies import Object

ROOT_CA: Final = "kube-root-ca.crt"
_ROOT_CA_DESCRIPTION: Final = "CA certificates with which a client in this namespace verifies the API server."


class ConfigMapStrategy(BuiltinStrategy):
    """ConfigMaps: valid keys, each in one of the two maps; 1 MiB of data at most.

    Every namespace has ``kube-root-ca.crt``, the CA certificates that clients in it must trust: what a client writes into its
    data is not stored, as kube-controller-manager would set it back.
    """

    virtual_names: ClassVar[Collection[str]] = (ROOT_CA,)

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        self._keep_trust(obj)

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        self._keep_trust(obj)

    def _keep_trust(self, obj: Object) -> None:
        if obj["metadata"].get("name") == ROOT_CA and self._publishes:
            obj["data"] = {"ca.crt": self.context.trust}
            obj.pop("binaryData", None)

    @property
    def _publishes(self) -> bool:
        return bool(self.context.trust) and self.context.publishes_trust

    def virtual_in_namespace(self, cluster: LogicalClusterName, namespace: str, stored: Object | None) -> Object | None:
        if not self._publishes:
            return None
        meta = virtual_metadata(self.context, cluster, namespace, stored, "configmaps", ROOT_CA)
        if meta is None:
            return None
        meta["annotations"] = {"kubernetes.io/description": _ROOT_CA_DESCRIPTION}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"ca.crt": self.context.trust}}

    def default(self, obj: Object) -> None:
        super().default(obj)
        canonical_bytes(mapping(obj, "binaryData"))

    def validate(self, obj: Object) -> list[FieldError]:
        data, binary = mapping(obj, "data"), mapping(obj, "binaryData")
        found = key_errors(data, "data")
        size = sum([len(value.encode()) for value in data.values() if isinstance(value, str)])
        if binary:
            both = sorted(data.keys() & binary.keys())[: MAX_ERRORS + 1]
            found += [
                field_errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in both
            ]
            found += key_errors(binary, "binaryData")
            size += sum(decoded_size(value) for value in binary.values())
        if size > MAX_BYTES:
            found.append(field_errors.too_long("[]", MAX_BYTES))
        return found

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return immutability_errors(obj, old, ("data", "binaryData")) + self.validate(obj)

    def cells(self, obj: Object) -> list[Any] | None:
        return [len(mapping(obj, "data")) + len(mapping(obj, "binaryData")), age(obj)]
