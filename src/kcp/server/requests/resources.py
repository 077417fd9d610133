"""Requests on resources: from a request to a verb of the registry, and from its result to a response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final

from kcp.api import errors
from kcp.registry.contexts import RequestContext
from kcp.registry.representations.whole_objects import WHOLE_OBJECTS
from kcp.registry.requests import Target, Written
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import patching
from kcp.registry.verbs.large_work import in_thread, run_large
from kcp.registry.verbs.large_writes import Permit
from kcp.registry.verbs.registry import Registry
from kcp.registry.verbs.representation import ListPieces
from kcp.server.requests import bodies, content_negotiation, queries
from kcp.server.requests.bodies import Body
from kcp.server.requests.content_negotiation import View
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.mutations import Mutations
from kcp.server.requests.request_info import RequestInfo
from kcp.server.requests.watches import Watches

_ACROSS_NAMESPACES: Final = frozenset({"list", "watch"})
_NEEDS_NAME: Final = frozenset({"get", "update", "patch", "delete"})
_OPTIONS: Final = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}

_VerbHandler = Callable[[Exchange, RequestInfo, Target], Awaitable[None]]
_Response = tuple[int, bytes]
"""The status and the body of a response."""
_ObjectVerb = Callable[[RequestContext, Target, dict[str, Any], list[str]], Coroutine[Any, Any, Written]]
"""A verb of the registry that stores the object of a body, which may have duplicate fields: create or update."""


class Resources:
    """The handlers of the verbs."""

    def __init__(self, registry: Registry, watches: Watches, mutations: Mutations) -> None:
        self._registry = registry
        self._find = registry.catalog.find
        self._watches = watches
        self._mutations = mutations
        self._handlers: dict[str, _VerbHandler] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def find_type(self, info: RequestInfo) -> ResourceType | None:
        """Return the type that a request names; None when it is not served, or when its definition must be read first."""
        return self._find(info.cluster, info.group, info.version, info.resource, decode=False)

    async def _find_newest_type(self, info: RequestInfo) -> ResourceType:
        """Look a type up in the newest state: another server may have just defined it.

        Raises StatusError 404, or 503 where the definition cannot be read.
        """
        catalog, path = self._registry.catalog, (info.cluster, info.group, info.version, info.resource)
        found = await catalog.look_up(*path)
        if found is None:
            await self._registry.store.catch_up()
            found = await catalog.look_up(*path)
        if found is None:
            raise catalog.not_served(info.group)
        return found

    async def serve(self, exchange: Exchange, info: RequestInfo) -> None:
        """Answer an authorized request for ``exchange.type``. Raises StatusError."""
        type_ = exchange.type
        if type_ is None:
            type_ = exchange.type = await self._find_newest_type(info)
        _check_routable(info, type_)
        if exchange.watches_only and info.verb != "watch":
            raise errors.bad_request("only watches are served over WebSocket")
        if type_.deprecation_warning is not None:
            exchange.warnings.append(type_.deprecation_warning)
        namespace = info.namespace if type_.namespaced else ""
        if info.subresource and info.verb == "create":
            load_type = type_.subresources[info.subresource].load_type
            type_ = type_ if load_type is None else load_type()
        await self._handlers[info.verb](exchange, info, Target(type_, namespace, info.name, info.subresource))

    def _context(self, exchange: Exchange, info: RequestInfo) -> RequestContext:
        context = RequestContext(exchange.user, info.cluster, exchange.warnings, exchange.body_size)
        context.restriction = exchange.restriction
        return context

    @staticmethod
    def _take_options(context: RequestContext, exchange: Exchange, info: RequestInfo, *, apply: bool = False) -> None:
        """Set the options of a write that are parameters of its request."""
        query = info.query
        if query:
            kind = _OPTIONS[info.verb]
            context.field_manager = queries.field_manager(query, kind)
            context.dry_run = queries.dry_run(query.all("dryRun"), kind)
            context.field_validation = queries.field_validation(query, kind)
        if not context.field_manager and not apply:
            context.field_manager = queries.manager_of(exchange.user_agent)

    async def _get(self, exchange: Exchange, info: RequestInfo, target: Target) -> None:
        query = info.query
        view = _view(exchange, info, target)
        resource_version = query.text("resourceVersion") if query else ""
        value = await self._registry.get(self._context(exchange, info), target, resource_version)
        body = value if view.representation is WHOLE_OBJECTS else await _form(value, target.type, view)
        await exchange.send_object(200, body, view)

    async def _list(self, exchange: Exchange, info: RequestInfo, target: Target) -> None:
        view = _view(exchange, info, target)
        context, options = self._context(exchange, info), queries.list_options(info.query)
        if view.representation is not WHOLE_OBJECTS:
            await _compile_columns(target.type, view)

        async def read() -> ListPieces:
            listing = await self._registry.list(context, target, options)
            return view.representation.listing(listing, self._registry.type_of_cluster(target.type))

        await exchange.send_pieces(await read(), view, read)

    async def _watch(self, exchange: Exchange, info: RequestInfo, target: Target) -> None:
        view = _view(exchange, info, target)
        options = queries.list_options(info.query)
        if view.representation is not WHOLE_OBJECTS:
            await _compile_columns(target.type, view)
        await self._watches.serve(exchange, self._context(exchange, info), target, options, view.representation)

    def _create(self, exchange: Exchange, info: RequestInfo, target: Target) -> Awaitable[None]:
        return self._store(exchange, info, target, self._registry.create)

    def _update(self, exchange: Exchange, info: RequestInfo, target: Target) -> Awaitable[None]:
        return self._store(exchange, info, target, self._registry.update)

    async def _store(self, exchange: Exchange, info: RequestInfo, target: Target, verb: _ObjectVerb) -> None:
        view = _view(exchange, info, target)
        context = self._context(exchange, info)
        self._take_options(context, exchange, info)
        permit = _LargeWritePermit(self._registry, context, target)
        body = await bodies.read_object(exchange, target.type, permit.wait)
        context.body_size = exchange.body_size
        write = permit.around(_stored(context, target, body, view, verb))
        await exchange.send_object(*await self._mutations.run(write, exchange), view)

    async def _patch(self, exchange: Exchange, info: RequestInfo, target: Target) -> None:
        view = _view(exchange, info, target)
        context = self._context(exchange, info)
        permit = _LargeWritePermit(self._registry, context, target)
        body = await bodies.read_patch(exchange, target.type, permit.wait)
        context.body_size = exchange.body_size
        write = permit.around(self._patched(context, exchange, info, target, body, view))
        await exchange.send_object(*await self._mutations.run(write, exchange), view)

    async def _patched(
        self, context: RequestContext, exchange: Exchange, info: RequestInfo, target: Target, body: Body, view: View
    ) -> _Response:
        media_type = body.media_type
        self._take_options(context, exchange, info, apply=media_type == patching.APPLY_YAML)
        force = info.query.optional_flag("force") if info.query else None
        patch, duplicates = await bodies.decode_patch(body, target.type, context.field_validation)
        write = self._registry.patch(context, target, media_type, patch, force=force, duplicates=duplicates)
        del patch  # the write drops it when it can
        return await _written(await write, view)

    async def _delete(self, exchange: Exchange, info: RequestInfo, target: Target) -> None:
        view = _view(exchange, info, target)
        context = self._context(exchange, info)
        options, context.dry_run = queries.delete_options(info.query, await bodies.read_options(exchange))
        deleted = await self._mutations.run(self._registry.delete(context, target, options), exchange)
        gone, value, uid = deleted.gone, deleted.value, deleted.object["metadata"].get("uid")
        del deleted  # with the decoded object, which may be large
        if target.name in target.type.strategy.virtual_names:
            uid = None  # kubectl waits until no object has this UID, and the virtual object is back at once
        if gone and not target.type.strategy.deletion_keeps_object:
            await exchange.send_status(200, _success(target, uid))
            return
        status = 202 if not gone and options.orphan_dependents is False else 200
        await exchange.send_object(status, await _form(value, target.type, view), view)

    async def _delete_collection(self, exchange: Exchange, info: RequestInfo, target: Target) -> None:
        view = _view(exchange, info, target)
        context = self._context(exchange, info)
        selection = queries.list_options(info.query)
        options, context.dry_run = queries.delete_options(info.query, await bodies.read_options(exchange))
        write = self._registry.delete_collection(context, target, options, selection)
        listing = await self._mutations.run(write, exchange)
        await _compile_columns(target.type, view)
        pieces = view.representation.listing(listing, self._registry.type_of_cluster(target.type))
        await exchange.send_pieces(pieces, view)


class _LargeWritePermit:
    """The permit of one request's write, acquired when its body turns out to be large."""

    __slots__ = ("_context", "_permit", "_registry", "_target")

    def __init__(self, registry: Registry, context: RequestContext, target: Target) -> None:
        self._registry = registry
        self._context = context
        self._target = target
        self._permit: Permit | None = None

    async def wait(self, size: int) -> None:
        """Wait for the permit of a write whose body has so many bytes."""
        self._permit = await self._registry.permit(self._context, self._target, size)

    def around(self, write: Coroutine[Any, Any, _Response]) -> Coroutine[Any, Any, _Response]:
        """Return the write, which releases the permit if there is one."""
        return write if self._permit is None else self._permit.around(write)


async def _stored(context: RequestContext, target: Target, body: Body, view: View, verb: _ObjectVerb) -> _Response:
    obj, duplicates = await bodies.decode_object(body, target.type, context.field_validation)
    write = verb(context, target, obj, duplicates)
    del obj  # the write drops it when it is encoded
    return await _written(await write, view)


async def _written(written: Written, view: View) -> _Response:
    """The status and the body of the response to a write."""
    value, type_ = written.value, written.type
    status = 201 if written.created else 200
    del written  # with the decoded object, which may be large
    return status, value if view.representation is WHOLE_OBJECTS else await _form(value, type_, view)


def _check_routable(info: RequestInfo, type_: ResourceType) -> None:
    """Check that the type has this verb at this path. Raises StatusError 400, 404 or 405, as kube-apiserver words it."""
    verb, builtin = info.verb, type_.builtin
    if not _in_scope(info, type_):
        if not builtin:
            raise errors.page_not_found()
        misplaced = type_.namespaced and not info.name
        raise errors.method_not_allowed() if misplaced else errors.unknown_path()
    verbs: Collection[str] = type_.verbs
    if info.subresource:
        subresource = type_.subresources.get(info.subresource)
        if subresource is None:
            raise errors.unknown_path() if builtin else errors.not_found(type_.resource, info.name)
        verbs = subresource.verbs
    elif info.name and verb == "create":
        verbs = ()
    is_nameless = not info.name and verb in _NEEDS_NAME
    if verb in verbs and not is_nameless:
        return
    if verb not in verbs and type_.placeholder:
        raise errors.method_not_allowed(type_.placeholder)
    if builtin:
        raise errors.method_not_allowed()
    if verb not in verbs:
        raise errors.method_not_supported(type_.resource, verb or info.method)
    raise errors.bad_request("name must be provided")


def _in_scope(info: RequestInfo, type_: ResourceType) -> bool:
    """Whether the scope of the type agrees with the presence of a namespace in the path."""
    if type_.namespaced:
        return bool(info.namespace) or info.verb in _ACROSS_NAMESPACES
    return not info.namespace or (info.resource == "namespaces" and info.namespace == info.name)


def _view(exchange: Exchange, info: RequestInfo, target: Target) -> View:
    """Negotiate the form of the response; WebSocket messages are JSON text. Raises StatusError 400 or 406."""
    accept = exchange.accept
    if accept in content_negotiation.PLAIN:
        return content_negotiation.PLAIN_VIEW
    type_ = None if exchange.watches_only else target.type
    return content_negotiation.view(accept, info.verb, info.query.text("includeObject"), type_)


async def _form(value: bytes, type_: ResourceType, view: View) -> bytes:
    """Encode an object in the form that the client asked for."""
    await _compile_columns(type_, view)
    return await run_large(len(value), view.representation.single, value, type_)


async def _compile_columns(type_: ResourceType, view: View) -> None:
    """Compile the computed columns of a type, once, before the first table of its objects."""
    if view.representation.has_columns and type_.needs_columns:
        await in_thread(lambda: type_.columns)


def _success(target: Target, uid: str | None) -> dict[str, Any]:
    type_ = target.type
    details = {"name": target.name}
    if type_.group:
        details["group"] = type_.group
    details["kind"] = type_.plural
    if uid:
        details["uid"] = uid
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
