"""The admission chain: the plugins in order, and which of them a write concerns.

Follows kube-apiserver's admission control: all mutating plugins run first, then the object is validated, then all validating
plugins run. Namespace lifecycle is a precondition (`kcp.registry.verbs.preconditions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from kcp.api.kinds import GroupVersionKind
from kcp.auth.users import User
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.types.resource_types import ResourceType

CREATE: Final = "CREATE"
UPDATE: Final = "UPDATE"
DELETE: Final = "DELETE"
"""The operations, as in admissionregistration.k8s.io/v1."""


@dataclass(slots=True)
class AdmissionRequest:
    """A write as plugins see it (``AdmissionRequest`` of admission.k8s.io/v1).

    ``object`` is the new object, None for a delete; a mutating plugin changes it in place. ``old_object`` is the present one,
    None for a create. On the scale subresource both are Scales (autoscaling/v1). ``options`` are those of a delete.
    """

    context: RequestContext
    target: Target
    operation: str
    object: dict[str, Any] | None
    old_object: dict[str, Any] | None
    options: DeleteOptions | None = None

    @property
    def kind(self) -> GroupVersionKind:
        """The kind of the objects: that of the subresource where it has one."""
        subresource = self.target.type.subresources.get(self.target.subresource)
        return (subresource.kind if subresource is not None else None) or self.target.type.gvk

    @property
    def subresource(self) -> str:
        """The subresource that is written; "" for the object itself."""
        return self.target.subresource

    @property
    def dry_run(self) -> bool:
        """Whether nothing will be stored; a plugin must then have no side effects either."""
        return self.context.dry_run

    @property
    def user(self) -> User:
        """The user who writes."""
        return self.context.user


class AdmissionPlugin(Protocol):
    """A member of the chain."""

    def handles(self, type_: ResourceType, operation: str, subresource: str) -> bool:
        """Whether the plugin is called for such writes. The answer is cached for as long as the type is in use."""

    async def mutate(self, request: AdmissionRequest) -> None:
        """Change the object. Raises StatusError to refuse the write."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Raise StatusError to refuse the write. Must not change the object."""


class Chain:
    """The plugins in order."""

    def __init__(self, plugins: Sequence[AdmissionPlugin] = ()) -> None:
        self._plugins = tuple(plugins)
        self._handlers: WeakKeyDictionary[ResourceType, dict[tuple[str, str], tuple[AdmissionPlugin, ...]]] = (
            WeakKeyDictionary()
        )

    def plugins_for(self, target: Target, operation: str) -> tuple[AdmissionPlugin, ...]:
        """The plugins to call for a write, in order. Costs one look-up after the first write of a kind."""
        if not self._plugins:
            return ()
        known = self._handlers.get(target.type)
        if known is None:
            known = self._handlers[target.type] = {}
        found = known.get((operation, target.subresource))
        if found is None:
            found = tuple(
                plugin for plugin in self._plugins if plugin.handles(target.type, operation, target.subresource)
            )
            known[operation, target.subresource] = found
        return found
