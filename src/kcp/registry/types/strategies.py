"""Strategies: the behaviour of one resource type beyond its schema.

Follows kube-apiserver's ``rest.RESTCreateStrategy``, ``RESTUpdateStrategy`` and ``RESTDeleteStrategy``: the steps of a write
(`kcp.registry.verbs.writing`) call these hooks where types differ. Custom resources use the base class; a built-in type
overrides what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from kcp.api import names
from kcp.api.field_errors import FieldError
from kcp.api.metadata import bare_finalizers
from kcp.api.protobuf.canonical_form import normalize
from kcp.logical_clusters import LogicalClusterName

if TYPE_CHECKING:
    from kcp.registry.contexts import RequestContext

Object = dict[str, Any]
NamesInGroup = Callable[[str], Iterable[Object]]
"""The definitions of a group in one logical cluster, with nothing but their accepted names."""

_BARE = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"


class Strategy:
    """The rules of one resource type. Stateless: one instance serves all logical clusters.

    Hooks that take an object to change, replace members of the object and of its metadata. They never change the values of
    members in place: these may be the values of the client's object, from which the next attempt of the write starts again, or
    of the stored one. The exception is `default`: nobody shares the object that it gets.
    """

    allow_create_on_update: ClassVar[bool] = False
    """PUT of a name that is not there creates it."""
    allow_unconditional_update: ClassVar[bool] = True
    """PUT without a resource version overwrites whatever is there."""
    finalizers_need_domain: ClassVar[bool] = False
    """Finalizers must have a domain, except for those that Kubernetes defines."""
    counts_generation: ClassVar[bool] = False
    """``metadata.generation`` starts at 1 and grows with every change outside metadata and status."""
    deletion_keeps_object: ClassVar[bool] = False
    """The answer to a delete is the deleted object rather than a Status."""
    deletion_has_grace_period: ClassVar[bool] = True
    """An object whose deletion begins has a ``metadata.deletionGracePeriodSeconds``."""
    status_takes_metadata: ClassVar[bool] = False
    """A write through the status subresource may change labels, annotations and the like."""
    zero_value: ClassVar[Mapping[str, Any]] = {}
    """The members that every object has (structs in Go), as they are before a client sets any: nobody owns them."""
    set_by_server_on_create: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """The paths of a new object that the server sets, whatever the client sends: nobody owns them."""
    owned_as_sent: ClassVar[tuple[str, ...]] = ()
    """The members that are owned as the client sends them, though the server keeps values of its own in them."""
    reset_fields: ClassVar[Mapping[str, tuple[tuple[str, ...], ...]]] = {}
    """By subresource ("" for the object itself): the paths that a write cannot change, where they are not those of all types."""
    writes_are_serialized: ClassVar[bool] = False
    """A write depends on the other objects of the type in the logical cluster, so that writes there run one at a time."""
    deletion_finalizers: ClassVar[tuple[str, ...]] = ()
    """Finalizers that the server adds when the deletion of an object begins."""
    confidential: ClassVar[frozenset[str]] = frozenset()
    """The fields whose values no refusal and no warning may show (the data of Secrets)."""
    may_be_large: ClassVar[bool] = False
    """Whether `is_large` must be called."""
    checks_permissions: ClassVar[bool] = False
    """Whether `check_permissions` must be called: what a user may write depends on the content of the object."""
    virtual_names: ClassVar[Collection[str]] = ()
    """The names of the `virtual_objects`; of a namespaced type the name of `virtual_in_namespace`."""
    virtual_in_each_namespace: ClassVar[bool] = True
    """Whether each namespace has the object of `virtual_in_namespace`; else `virtual_objects` are in virtual namespaces."""
    lifetime: int | None = None
    """Seconds after which a stored object vanishes (events); None keeps it."""

    def name_errors(self, name: str) -> list[str]:
        """The problems of an object's name, as messages; empty for a valid name."""
        return names.is_dns1123_subdomain(name)

    def default(self, obj: Object) -> None:
        """Set defaults that a schema cannot express. Idempotent."""

    def is_large(self, obj: Object) -> bool:
        """Whether validating an object takes too long for the event loop, where objects ``may_be_large``; it may be malformed."""
        return False

    def precompute(self, obj: Object, old: Object | None) -> None:
        """Validate a large object in a thread and cache the results that its write needs on the event loop; raises nothing.

        ``old`` is the stored object that an update replaces.
        """

    def prepare_for_create(self, obj: Object, context: RequestContext) -> None:
        """Set the fields that the server owns on a new object. Idempotent."""

    def prepare_for_update(self, obj: Object, old: Object, context: RequestContext) -> None:
        """Restore the fields that a client may not change; set those that the server owns. Idempotent."""

    def prepare_for_status_update(self, obj: Object, old: Object) -> None:
        """Set defaults of the status in a write through the status subresource. Idempotent."""

    def set_status_from_other_objects(self, obj: Object, names_in: NamesInGroup) -> None:
        """Set the part of the status that depends on the other objects of the type (the conditions of a CRD).

        Called in every write of a type whose ``writes_are_serialized``, with the lock held, after admission and validation.
        """

    def undecodable(self, obj: Object) -> Iterable[FieldError]:
        """The errors of values that Go's decoder refuses although the schema allows them, in an object or a part of one."""
        return ()

    def validate(self, obj: Object) -> list[FieldError]:
        """Errors of a new object, after the schema's."""
        return []

    def validate_update(self, obj: Object, old: Object) -> list[FieldError]:
        """Errors of an update; by default those of the new state as a new object."""
        return self.validate(obj)

    async def check_permissions(self, obj: Object, old: Object | None, context: RequestContext, name: str) -> None:
        """Check that the user may write this object, where the type ``checks_permissions``. Raises StatusError 403 or 404.

        ``old`` is the object that an update replaces, ``name`` that of the request's path: empty for a create.
        """

    def warnings(self, obj: Object, old: Object | None) -> Sequence[str]:
        """Advice to the client, sent as ``Warning`` headers."""
        return ()

    def prepare_for_delete(self, obj: Object, context: RequestContext) -> None:
        """Replace members of an object whose deletion begins and waits for finalizers or ``blocks_deletion`` (a namespace).

        The members themselves must not be changed: they are those of the present state.
        """

    def check_deletable(self, name: str) -> str | None:
        """The reason why an object of this name may never be deleted; None when it may."""
        return None

    def blocks_deletion(self, obj: Object) -> bool:
        """Whether something besides ``metadata.finalizers`` blocks deletion (``spec.finalizers`` of namespaces)."""
        return False

    def cells(self, obj: Object) -> list[Any] | None:
        """The cells of a table row after the name column, for columns that no JSONPath computes; None uses the JSONPaths."""
        return None

    def selectable_fields(self, obj: Object) -> Mapping[str, str]:
        """The values of the field selectors beside ``metadata.name`` and ``metadata.namespace``.

        Each is a string that is a member's value in the object, unchanged, or is empty:
        `kcp.registry.verbs.hints` depends on it.
        """
        return {}

    selectable: ClassVar[frozenset[str]] = frozenset()
    """The names of the field selectors whose values `selectable_fields` returns."""

    default_sets_labels: ClassVar[bool] = False
    """Whether `default` adds labels, so that an object that is read may have labels that are not stored."""

    subresource_updates: ClassVar[Mapping[str, Callable[[Object, Object], Object]]] = {}
    """Merge of a PUT or PATCH on a subresource other than ``status`` and ``scale``: (sent, old) -> new object to store."""

    subresource_validations: ClassVar[Mapping[str, Callable[[Object, Object], list[FieldError]]]] = {}
    """Errors of such an update, in place of `validate_update`: (new, old) -> errors."""

    def validate_status(self, obj: Object, old: Object) -> list[FieldError]:
        """Errors of a change through the status subresource, after the schema's."""
        return []

    def to_storage(self, obj: Object) -> Object:
        """The object converted to the group and version that it is stored in."""
        return obj

    def from_storage(self, obj: Object) -> Object:
        """A stored object converted to this type's own group and version."""
        return obj

    def virtual_objects(self, cluster: LogicalClusterName) -> Sequence[Object]:
        """Objects that every logical cluster has without storing them, in the order of namespace and name."""
        return ()

    def virtual_object(self, cluster: LogicalClusterName, namespace: str, name: str) -> Object | None:
        """The virtual object of a namespace (empty for a cluster-scoped type) and name, where they are not in each namespace."""
        return next((obj for obj in self.virtual_objects(cluster) if obj["metadata"]["name"] == name), None)

    def virtual_in_namespace(self, cluster: LogicalClusterName, namespace: str, stored: Object | None) -> Object | None:
        """The object that a namespace has without storing it.

        ``stored`` is the namespace, None where it is not stored. Returns None where there is no such namespace or object.
        """
        return None

    def recreated(self, obj: Object, context: RequestContext) -> Object | None:
        """What is stored in place of a deleted object that a virtual one would follow; None: the virtual one follows."""
        return None

    async def answer(self, obj: Object, context: RequestContext) -> Object | None:
        """The object with its answer, for types that are answered and not stored (reviews); None for other types."""
        return None


class CustomResourceStrategy(Strategy):
    """Custom resources: all rules are in the CustomResourceDefinition."""

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


class KubernetesKindStrategy(CustomResourceStrategy):
    """Custom resources of Kubernetes' own groups: a kind that Kubernetes has is stored in the form that kube-apiserver stores."""

    allow_unconditional_update = True

    def default(self, obj: Object) -> None:
        normalize(obj)


CUSTOM_RESOURCE = CustomResourceStrategy()
KUBERNETES_KIND = KubernetesKindStrategy()
