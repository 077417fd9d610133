"""Leases (coordination.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from kcp.api import field_errors, names
from kcp.api.field_errors import FieldError
from kcp.builtin.fields import NOT_NEGATIVE, canonical_micro_times, integer, mapping, micro_time_errors, text
from kcp.builtin.strategy import BuiltinStrategy
from kcp.registry.types.strategies import Object

_TIMES: Final = ("acquireTime", "renewTime")
_STRATEGIES: Final = ("OldestEmulationVersion",)


class LeaseStrategy(BuiltinStrategy):
    """Leases. A PUT creates one, so that leader election can acquire a lease without reading it first."""

    allow_create_on_update = True
    allow_unconditional_update = False
    zero_value: ClassVar[Mapping[str, Any]] = {"spec": {}}

    def default(self, obj: Object) -> None:
        super().default(obj)
        canonical_micro_times(mapping(obj, "spec"), _TIMES)

    def undecodable(self, obj: Object) -> Iterator[FieldError]:
        yield from micro_time_errors(mapping(obj, "spec"), _TIMES, "spec.")

    def validate(self, obj: Object) -> list[FieldError]:
        spec = mapping(obj, "spec")
        found: list[FieldError] = []
        duration, transitions = integer(spec, "leaseDurationSeconds"), integer(spec, "leaseTransitions")
        if duration is not None and duration <= 0:
            found.append(field_errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
        if transitions is not None and transitions < 0:
            found.append(field_errors.invalid("spec.leaseTransitions", transitions, NOT_NEGATIVE))
        strategy = text(spec, "strategy")
        if "strategy" in spec and strategy not in _STRATEGIES:
            if "/" in strategy:
                found += [
                    field_errors.invalid("spec.strategy", strategy, why) for why in names.is_qualified_name(strategy)
                ]
            else:
                found.append(field_errors.not_supported("spec.strategy", strategy, _STRATEGIES))
        if text(spec, "preferredHolder") and not strategy:
            why = "may only be specified if `strategy` is defined"
            found.append(field_errors.forbidden("spec.preferredHolder", why))
        return found
