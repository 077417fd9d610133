"""Behaviour of one resource type beyond its schema.

Follows kube-apiserver's ``rest.RESTCreateStrategy`` and its kin: the verbs drive the pipeline, a strategy fills the
places where a type differs. Custom resources use the base class as it is; a built-in type overrides what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kcp.api import names
from kcp.api.field_errors import FieldError
from kcp.api.metadata import bare_finalizers
from kcp.logical_clusters import LogicalClusterName

if TYPE_CHECKING:
    from kcp.registry.contexts import RequestContext

Object = dict[str, Any]

_BARE = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"


class Strategy:
    """The rules of one resource type. Stateless: one instance serves all logical clusters.

    Hooks that take an object to change, change it in place; the object belongs to the request and is shared with nobody.
    """

    allow_create_on_update: ClassVar[bool] = False
    """PUT of a name that is not there creates it."""
    allow_unconditional_update: ClassVar[bool] = True
    """PUT without a resource version overwrites whatever is there."""
    finalizers_need_domain: ClassVar[bool] = False
    """Finalizers without a domain are refused, but for Kubernetes' own."""
    counts_generation: ClassVar[bool] = False
    """``metadata.generation`` starts at 1 and grows with every change outside metadata and status."""
    deletion_keeps_object: ClassVar[bool] = False
    """The answer to a delete is the deleted object rather than a Status."""
    writes_are_serialized: ClassVar[bool] = False
    """What a write makes of an object depends on the others of its type in the logical cluster: such writes take turns there."""
    deletion_finalizers: ClassVar[tuple[str, ...]] = ()
    """Finalizers that an object gets when its deletion begins, whatever clients wrote before."""
    lifetime: int | None = None
    """Seconds after which a stored object vanishes (events); None keeps it."""

    def name_errors(self, name: str) -> list[str]:
        """What is wrong with an object's name (messages; none is fine)."""
        return names.is_dns1123_subdomain(name)

    def default(self, obj: Object) -> None:
        """Fill in defaults that the schema cannot say."""

    def is_large(self, obj: Object) -> bool:
        """Whether judging an object takes so long that it must not happen on the event loop. ``obj`` may be malformed."""
        return False

    def precompute(self, obj: Object) -> None:
        """Judge a large object in a thread, and remember what its write will ask on the event loop; raises nothing."""

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        """Set what the server owns on a new object."""

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        """Put back what a client may not change; set what the server owns."""

    def prepare_for_status_update(self, obj: Object, context: RequestContext) -> None:
        """Set what the server owns in the status that a client wrote."""

    def validate(self, obj: Object) -> list[FieldError]:
        """Errors of a new object, after the schema's."""
        return []

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        """Errors of a change; by default those of a new object in the new state."""
        return self.validate(obj)

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        """Advice to the client, sent as ``Warning`` headers."""
        return ()

    def prepare_for_delete(self, obj: Object, context: RequestContext) -> None:
        """Change an object whose deletion begins and must wait (namespaces become Terminating).

        Called on the object that is stored while finalizers, or ``blocks_deletion``, hold it.
        """

    def check_deletable(self, name: str) -> str | None:
        """Why an object of this name may never be deleted; None when it may."""
        return None

    def blocks_deletion(self, obj: Object) -> bool:
        """Something besides ``metadata.finalizers`` keeps a deleted object there (``spec.finalizers`` of namespaces)."""
        return False

    def cells(self, obj: Object) -> list[Any] | None:
        """The cells of a table row after the name column, for types whose columns no JSONPath says; None uses the paths."""
        return None

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """The values of the field selectors beside ``metadata.name`` and ``metadata.namespace``."""
        return {}

    selectable: ClassVar[frozenset[str]] = frozenset()
    """The field selectors that `selectable_fields` gives."""

    subresource_updates: ClassVar[Mapping[str, Callable[[Object, Object], Object]]] = {}
    """Merge of a PUT or PATCH on a subresource other than ``status`` and ``scale``: (sent, old) -> new object to store."""

    subresource_validations: ClassVar[Mapping[str, Callable[[Object, Object], list[FieldError]]]] = {}
    """Errors of such an update, in place of `validate_update`: (new, old) -> errors."""

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        """Errors of a change through the status subresource, after the schema's."""
        return []

    def to_storage(self, obj: Object) -> Object:
        """The object in the version it is stored in (other API groups of one storage)."""
        return obj

    def from_storage(self, obj: Object) -> Object:
        """A stored object in this type's own group and version."""
        return obj

    def virtual_objects(self, cluster: LogicalClusterName) -> Sequence[Object]:
        """Objects that are there in every logical cluster without being stored (in name order)."""
        return ()

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        """For types that are asked rather than stored (reviews): the object with its answer. None means: store it."""
        return None


class CustomResourceStrategy(Strategy):
    """Custom resources: everything is in the CustomResourceDefinition."""

    allow_unconditional_update = False
    counts_generation = True

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        finalizers = obj["metadata"].get("finalizers")
        if not finalizers:
            return ()
        before = (old["metadata"].get("finalizers") or ()) if old else ()
        return [
            f'metadata.finalizers: "{name}": {_BARE}' for _, name in bare_finalizers(finalizers) if name not in before
        ]


CUSTOM_RESOURCE = CustomResourceStrategy()
