"""Arguments and results of the verbs: the target, the options of the request (meta/v1 ``*Options``), and what was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kcp.api import documents
from kcp.api.selectors import FieldSelector, LabelSelector
from kcp.registry.types.resource_types import ResourceType

IGNORE_READ_ERROR: Final = "ignoreStoreReadErrorWithClusterBreakingPotential"
"""The delete option that removes an object whose stored value is damaged (KEP-3926)."""


@dataclass(slots=True)
class Target:
    """The object or collection of a request. ``namespace`` is "" for all namespaces and for cluster-scoped objects."""

    type: ResourceType
    namespace: str = ""
    name: str = ""
    subresource: str = ""


@dataclass(slots=True)
class ListOptions:
    """``ListOptions`` of list, watch and deletecollection."""

    label_selector: LabelSelector | None = None
    field_selector: FieldSelector | None = None
    limit: int = 0
    continue_token: str = ""
    resource_version: str = ""
    resource_version_match: str = ""
    allow_bookmarks: bool = False
    send_initial_events: bool | None = None


@dataclass(slots=True)
class DeleteOptions:
    """``DeleteOptions`` of delete and deletecollection."""

    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    grace_period_seconds: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    ignore_store_read_error: bool = False
    """Whether to delete an object whose stored value is damaged: without its finalizers, preconditions and dependents."""


@dataclass(slots=True)
class Written:
    """The outcome of a write.

    ``value`` is the JSON of the object as it was written, with its resource version, in the version ``type``: for a delete, the
    last state. ``decoded`` is the same decoded, unless it is large: `object` decodes it when it is asked for. ``created`` says
    that the object is new, ``gone`` that it is deleted and not waiting for finalizers.
    """

    value: bytes
    type: ResourceType
    decoded: dict[str, Any] | None
    created: bool = False
    gone: bool = False

    @property
    def object(self) -> dict[str, Any]:
        """The object as it was written."""
        if self.decoded is None:
            self.decoded = documents.decode_stored(self.value)
        return self.decoded
