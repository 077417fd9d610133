"""Requests to the cluster: copies and their namespaces."""

from __future__ import annotations

from typing import Final

from kcp.client import (
    APIResource,
    CachedObject,
    Client,
    ConflictError,
    InvalidError,
    NotFoundError,
    RetryError,
    StatusError,
    TransportError,
)
from kcp.client.objects import Object
from kcp.client.watching import has_metadata
from kcp.multicluster.placement import FIELD_MANAGER, LOCATOR_ANNOTATION, MARK_LABEL, Locator, locator_of, mark_of
from kcp.multicluster.syncer.decisions import Copy
from kcp.multicluster.syncer.ownership import Identity, metadata_of
from kcp.multicluster.syncer.sources import View
from kcp.multicluster.syncer.statuses import Problem, problem_of
from kcp.multicluster.syncer.upstream import NAMESPACES, read_object

REFUSED: Final = (400, 403, 405, 409, 413, 415, 422)
"""The codes of responses that refuse an object: another attempt helps only when something else has changed."""


class AnotherObjectError(RetryError):
    """The cluster has another object than the one that was to be changed: what the cache has is not true, or not any more."""


class ProblemError(Exception):
    """The cluster does not take an object. ``problem`` is for its user."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def copy_state(found: Object) -> Copy:
    """Return what decisions know of an object downstream. ``marked``: with the UID in the locator."""
    locator = locator_of(found)
    meta = metadata_of(found)
    marked = locator is not None and mark_of(found) == locator.cluster_uid
    return Copy(str(meta.get("uid") or ""), marked, locator, bool(meta.get("deletionTimestamp")))


class Copies:
    """The copies of one resource."""

    def __init__(self, client: Client, resource: APIResource) -> None:
        self._client = client
        self.resource = resource

    async def read(self, namespace: str, name: str) -> Object | None:
        """Read an object; None if it does not exist. Raises StatusError, TransportError."""
        found = await read_object(self._client, self.resource, namespace, name)
        return None if found is None else _checked(found)

    async def apply(self, wanted: Object, present: Object | None) -> Object:
        """Apply a copy. Returns the object.

        Raises ProblemError if it is refused, AnotherObjectError, StatusError, TransportError.

        Without a present object, fields of other managers are not taken over: an object that is created meanwhile is a conflict.
        A present object is only changed if it is still the same one.
        """
        meta = wanted["metadata"]
        if present is not None:
            wanted = {**wanted, "metadata": {**meta, "uid": present["metadata"]["uid"]}}
        verbs = self._client.resource(self.resource, meta["namespace"])
        try:
            return _checked(await verbs.apply(wanted, field_manager=FIELD_MANAGER, force=present is not None))
        except (ConflictError, InvalidError) as error:
            if present is not None and (isinstance(error, ConflictError) or _another_uid(error)):
                raise AnotherObjectError(str(error)) from error
            raise ProblemError(problem_of(error)) from error
        except StatusError as error:
            if error.code in REFUSED:
                raise ProblemError(problem_of(error)) from error
            raise

    async def delete(self, found: Object) -> None:
        """Delete an object in exactly the state in which it was found.

        Raises AnotherObjectError if it has changed, or is not there any more, StatusError, TransportError.
        """
        meta = found["metadata"]
        verbs = self._client.resource(self.resource, meta["namespace"])
        try:
            await verbs.delete(
                meta["name"],
                uid=meta["uid"],
                resource_version=meta["resourceVersion"],
                propagation_policy="Background",
            )
        except (ConflictError, NotFoundError) as error:
            raise AnotherObjectError(str(error)) from error


def _checked(found: Object) -> Object:
    """Return an object of the cluster if it is one. Raises TransportError."""
    if not has_metadata(found):
        raise TransportError("the cluster has answered with something that is no object")
    return found


def _another_uid(error: StatusError) -> bool:
    causes = (error.details or {}).get("causes")
    return isinstance(causes, list) and any(
        isinstance(cause, dict) and cause.get("field") == "metadata.uid" for cause in causes
    )


class Namespaces:
    """The namespaces downstream of one syncer, which are created when the first object needs them."""

    def __init__(self, client: Client, identity: Identity, view: View) -> None:
        self._verbs = client.resource(NAMESPACES)
        self._identity = identity
        self._view = view

    def get(self, name: str) -> CachedObject | None:
        """Return a namespace of ours by its name downstream."""
        return self._view.get("", name)

    async def ensure(self, namespace: str) -> str:
        """Return the name downstream of a namespace, which is created if it is missing.

        Raises ProblemError if it is another one's, RetryError while it is being deleted.
        """
        name = self._identity.namespace(namespace)
        cached = self.get(name)
        if cached is None or not self._is_usable(cached.decode(), namespace):
            await self.create(namespace)
        return name

    async def create(self, namespace: str) -> None:
        """Create a namespace if it is missing, whatever the cache says. Raises as `ensure`."""
        self._check(await self._create(self._identity.namespace(namespace), namespace), namespace)

    async def read(self, name: str) -> Object | None:
        """Read a namespace by its name downstream; None if it does not exist. Raises StatusError, TransportError."""
        try:
            return _checked(await self._verbs.get(name))
        except NotFoundError:
            return None

    async def _create(self, name: str, namespace: str) -> Object:
        locator = self._identity.locator(namespace).encode()
        wanted = {
            "metadata": {
                "name": name,
                "labels": {MARK_LABEL: self._identity.cluster_uid},
                "annotations": {LOCATOR_ANNOTATION: locator},
            }
        }
        try:
            return _checked(await self._verbs.create(wanted, field_manager=FIELD_MANAGER))
        except StatusError as error:
            if error.code == 409:
                return await self._adopt(name, namespace)
            if error.code in REFUSED:
                raise ProblemError(problem_of(error)) from error
            raise

    async def _adopt(self, name: str, namespace: str) -> Object:
        """Return a namespace that exists; if it is ours without its mark, mark it."""
        found = _checked(await self._verbs.get(name))
        self._check(found, namespace)
        if mark_of(found) != self._identity.cluster_uid:
            meta = found["metadata"]
            patch = {
                "uid": meta["uid"],
                "resourceVersion": meta["resourceVersion"],
                "labels": {MARK_LABEL: self._identity.cluster_uid},
            }
            found = _checked(await self._verbs.patch(name, {"metadata": patch}, field_manager=FIELD_MANAGER))
        return found

    def _is_usable(self, found: Object, namespace: str) -> bool:
        try:
            self._check(found, namespace)
        except (ProblemError, RetryError):
            return False
        return True

    def _check(self, found: Object, namespace: str) -> None:
        meta = metadata_of(found)
        if not is_namespace_of(self._identity, locator_of(found), namespace):
            raise ProblemError(
                Problem(
                    "NamespaceConflict",
                    f"the cluster's namespace {meta.get('name')} is not the syncer's: its annotation {LOCATOR_ANNOTATION} "
                    f"does not name the namespace {namespace} of this logical cluster",
                )
            )
        if meta.get("deletionTimestamp"):
            raise RetryError(f"the namespace {meta.get('name')} is being deleted")


def is_namespace_of(identity: Identity, locator: Locator | None, namespace: str) -> bool:
    """Return whether a locator is that of the copy of a namespace."""
    return locator is not None and identity.owns(locator) and (locator.namespace, locator.name) == (namespace, "")
