"""ConfigMaps (core/v1)."""

from __future__ import annotations

from typing import Any

from kcp.api import field_errors
from kcp.api.field_errors import MAX_ERRORS, FieldError
from kcp.builtin.fields import canonical_bytes, decoded_size, mapping
from kcp.builtin.strategy import BuiltinStrategy, age
from kcp.builtin.types.core.data import MAX_BYTES, immutability_errors, key_errors
from kcp.registry.types.strategies import Object


class ConfigMapStrategy(BuiltinStrategy):
    """ConfigMaps: valid keys, each in one of the two maps; 1 MiB of data at most."""

    def default(self, obj: Object) -> None:
        super().default(obj)
        canonical_bytes(mapping(obj, "binaryData"))

    def validate(self, obj: Object) -> list[FieldError]:
        data, binary = mapping(obj, "data"), mapping(obj, "binaryData")
        found = list(key_errors(data, "data"))
        both = sorted(data.keys() & binary.keys())[: MAX_ERRORS + 1]
        found += [field_errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in both]
        found += key_errors(binary, "binaryData")
        size = sum(len(value.encode()) for value in data.values() if isinstance(value, str))
        size += sum(decoded_size(value) for value in binary.values())
        if size > MAX_BYTES:
            found.append(field_errors.too_long("[]", MAX_BYTES))
        return found

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        return immutability_errors(obj, old, ("data", "binaryData")) + self.validate(obj)

    def cells(self, obj: Object) -> list[Any] | None:
        return [len(mapping(obj, "data")) + len(mapping(obj, "binaryData")), age(obj)]
