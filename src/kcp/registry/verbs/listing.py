"""LIST: consistent pages over the log.

Follows the API concepts page "Resource versions": no resource version is the newest state, ``0`` is the state that this server
has, ``Exact`` a past state, ``NotOlderThan`` any state that is new enough. All pages of one list show the revision of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from kcp.api import errors, field_errors
from kcp.api.kinds import GroupKind
from kcp.logical_clusters import WILDCARD
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import ListOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs import continuations
from kcp.registry.verbs.filtering import Filter
from kcp.registry.verbs.selecting import CHUNK, Walk, kept
from kcp.registry.verbs.shared_pages import SharedPage
from kcp.registry.verbs.source import Source, in_each_namespace
from kcp.store.contract import CompactedError, FutureRevisionError, Key, Page, Range, Record

_ACCUMULATED: Final = 8 << 20
"""Bytes of objects after which a page with a limit ends before its limit, and after which a list without one streams: what is
found until then is held in memory as a whole."""

_STREAMED: Final = 128
_STREAMED_BYTES: Final = 128 * 1024
"""Records, and about how many bytes of them, that a list which streams reads at a time: about half a millisecond."""

EXACT: Final = "Exact"
NOT_OLDER_THAN: Final = "NotOlderThan"
_MATCH: Final = "resourceVersionMatch"
_NOT_WITH_CONTINUE: Final = "resourceVersionMatch is forbidden when continue is provided"
_EXPIRED_CONTINUE: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with "
    "the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


@dataclass(slots=True)
class Listing:
    """A list to render: its metadata and its records in chunks. ``remaining`` is 0 where it is unknown."""

    type: ResourceType
    wildcard: bool
    revision: int
    continue_token: str
    remaining: int
    chunks: Iterator[list[Record]]
    shared: SharedPage | None = None
    """The cache entry of the page's encoding; None for a page that is not shared."""


def parse_resource_version(text: str) -> int:
    """A resource version as a number; "" is 0. Raises StatusError 400."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        raise errors.bad_request(f'resourceVersion: Invalid value: "{text}": must be a number that the server gave out')
    return int(text)


def validate_options(options: ListOptions, *, watch: bool) -> None:
    """Raise StatusError 422 for contradictory options, as kube-apiserver does."""
    continued = watch and options.continue_token
    if not options.resource_version_match and options.send_initial_events is None and not continued:
        return
    problems = list(_watch_problems(options) if watch else _list_problems(options))
    if problems:
        raise errors.invalid(GroupKind("meta.k8s.io", "ListOptions"), "", problems)


def _list_problems(options: ListOptions) -> Iterator[field_errors.FieldError]:
    if match := options.resource_version_match:
        if not options.resource_version:
            why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
            yield field_errors.forbidden(_MATCH, why)
        if options.continue_token:
            yield field_errors.forbidden(_MATCH, _NOT_WITH_CONTINUE)
        if match not in (EXACT, NOT_OLDER_THAN):
            yield field_errors.not_supported(_MATCH, match, (EXACT, NOT_OLDER_THAN, ""))
        if match == EXACT and options.resource_version == "0":
            yield field_errors.forbidden(_MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if options.send_initial_events is not None:
        yield field_errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")


def _watch_problems(options: ListOptions) -> Iterator[field_errors.FieldError]:
    match = options.resource_version_match
    if options.send_initial_events is not None and match != NOT_OLDER_THAN:
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        yield field_errors.forbidden(_MATCH, why)
    if not match:
        if options.continue_token and options.resource_version in ("", "0"):
            yield field_errors.forbidden(_MATCH, _NOT_WITH_CONTINUE)  # kube-apiserver sets NotOlderThan then
        return
    if options.send_initial_events is None:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        yield field_errors.forbidden(_MATCH, why)
    if match != NOT_OLDER_THAN:
        yield field_errors.not_supported(_MATCH, match, (NOT_OLDER_THAN,))
    if options.continue_token:
        yield field_errors.forbidden(_MATCH, _NOT_WITH_CONTINUE)


def check_selection(type_: ResourceType, options: ListOptions) -> None:
    """Check the list options of a deletecollection, which selects from the newest state. Raises StatusError 400 or 422."""
    validate_options(options, watch=False)
    parse_resource_version(options.resource_version)
    if options.continue_token:
        continuations.decode(options.continue_token, type_.storage)


def range_of(context: RequestContext, target: Target, selection: Filter) -> Range:
    """The range of keys of a collection request."""
    cluster, storage = context.cluster, target.type.storage
    if cluster == WILDCARD:
        return Range(storage, WILDCARD, selection.exact_namespace)
    if not target.type.namespaced:
        return Range(storage, cluster, "")
    return Range(storage, cluster, target.namespace or selection.exact_namespace or None)


async def list_objects(source: Source, context: RequestContext, target: Target, options: ListOptions) -> Listing:
    """The objects of a collection. Raises StatusError 400, 410, 422 or 504 by the options."""
    validate_options(options, watch=False)
    selection = Filter(target.type, options.label_selector, options.field_selector, target.name)
    if context.cluster == WILDCARD and target.namespace:
        selection.exact_namespace = target.namespace
    range_ = range_of(context, target, selection)
    source = source.warning(context.warn)
    at, after = await _start(source, target.type, options)
    wildcard = context.cluster == WILDCARD
    try:
        if (
            selection.exact_name is not None
            and not wildcard
            and range_.namespace is not None
            and at == source.store.revision
        ):
            found = source.listed(target.type, range_.cluster, range_.namespace, selection.exact_name)
            kept = [record for record in found if selection.matches(record, target.type)]
            return Listing(target.type, wildcard, at, "", 0, iter([kept]))
        if not options.limit and selection.hint is None:
            return Listing(target.type, wildcard, at, "", 0, _chunks(source, target.type, selection, range_, at, after))
        if not options.limit:
            return await _selected(source, target.type, selection, range_, wildcard, at, after)
        return await _limited(source, target.type, selection, range_, wildcard, at, after, options.limit)
    except CompactedError as error:
        raise _expired(source, options, after) from error


async def _start(source: Source, type_: ResourceType, options: ListOptions) -> tuple[int, Key | None]:
    store = source.store
    if options.continue_token:
        if options.resource_version not in ("", "0"):
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        place = continuations.decode(options.continue_token, type_.storage)
        if place.revision == continuations.INCONSISTENT:
            await store.catch_up()
            return store.revision, place.after
        if place.revision > store.revision:
            await store.catch_up()
        if place.revision > store.revision:
            raise errors.too_large_resource_version(place.revision, store.revision)
        return place.revision, place.after
    requested = parse_resource_version(options.resource_version)
    if not options.resource_version:
        await store.catch_up()
        return store.revision, None
    if requested > store.revision:
        await store.catch_up()
    if requested > store.revision:
        raise errors.too_large_resource_version(requested, store.revision)
    match = options.resource_version_match
    exact = match == EXACT or (not match and options.limit > 0 and requested > 0)
    return (requested if exact else store.revision), None


def _chunks(
    source: Source, type_: ResourceType, selection: Filter, range_: Range, at: int, after: Key | None
) -> Iterator[list[Record]]:
    """The chunks of a list that streams. The first is read at once, so that an error is the answer's status.

    The iterator itself holds no chunk: a client may take long to read one.
    """

    ahead = deque((_chunk(source, type_, range_, after, at),))

    def chunks() -> Iterator[list[Record]]:
        while True:
            more = ahead[0].remaining
            last = ahead[0].records[-1].key if more else None
            yield kept(ahead.popleft().records, selection, type_)
            if not more:
                return
            ahead.append(_chunk(source, type_, range_, last, at))

    return chunks()


def _chunk(source: Source, type_: ResourceType, range_: Range, after: Key | None, at: int) -> Page:
    return source.page(type_, range_, limit=_STREAMED, after=after, at=at, size=_STREAMED_BYTES)


async def _selected(
    source: Source, type_: ResourceType, selection: Filter, range_: Range, wildcard: bool, at: int, after: Key | None
) -> Listing:
    """The list of a selection whose matches are searched for. It streams once the matches are many bytes."""
    walk = Walk(source, type_, selection, range_, at, after)
    found: list[Record] = []
    size = 0
    while not walk.done:
        records = await walk.next()
        found += records
        size += sum([len(record.value) for record in records])
        if size > _ACCUMULATED and not walk.done:
            rest = _chunks(source, type_, selection, range_, at, walk.after)
            return Listing(type_, wildcard, at, "", 0, chain(_in_chunks(found), rest))
    return Listing(type_, wildcard, at, "", 0, _in_chunks(found))


async def _limited(
    source: Source,
    type_: ResourceType,
    selection: Filter,
    range_: Range,
    wildcard: bool,
    at: int,
    after: Key | None,
    limit: int,
) -> Listing:
    whole = selection.everything and selection.exact_namespace is None
    if whole and limit <= CHUNK:
        return _whole_page(source, type_, range_, wildcard, at, after, limit)
    walk = Walk(source, type_, selection, range_, at, after)
    found: list[Record] = []
    size = 0
    while not walk.done:
        for record in await walk.next():
            found.append(record)
            size += len(record.value)
            if len(found) == limit or size > _ACCUMULATED:
                return Listing(type_, wildcard, at, _token(at, found, walk.follows(record.key)), 0, _in_chunks(found))
    return Listing(type_, wildcard, at, "", 0, _in_chunks(found))


def _in_chunks(records: list[Record]) -> Iterator[list[Record]]:
    for start in range(0, max(len(records), 1), CHUNK):
        yield records[start : start + CHUNK]


def _whole_page(
    source: Source, type_: ResourceType, range_: Range, wildcard: bool, at: int, after: Key | None, limit: int
) -> Listing:
    key = (type_.reading_hash, range_, after, limit)
    shared = None if wildcard else source.shared_pages.find(key, at)
    if shared is not None and type_.strategy.virtual_names and in_each_namespace(type_):
        shared = shared if source.in_namespaces.unchanged_since(range_.cluster, shared.revision) else None
    if shared is not None:
        token = continuations.encode(continuations.Continuation(at, shared.last)) if shared.last is not None else ""

        def read() -> Iterator[list[Record]]:
            yield source.page(type_, range_, limit=limit, after=after, at=at, size=_ACCUMULATED).records

        return Listing(type_, wildcard, at, token, shared.remaining, read(), shared)
    page = source.page(type_, range_, limit=limit, after=after, at=at, count=True, size=_ACCUMULATED)
    token, remaining = _token(at, page.records, page.remaining), max(page.remaining, 0)
    if not wildcard and at == source.store.revision:
        source.shared_pages.remember(key, at, page.records[-1].key if token else None, remaining)
    return Listing(type_, wildcard, at, token, remaining, iter([page.records]))


def _token(at: int, records: list[Record], more: int) -> str:
    return continuations.encode(continuations.Continuation(at, records[-1].key)) if more and records else ""


def _expired(source: Source, options: ListOptions, after: Key | None) -> errors.StatusError:
    if options.continue_token and after is not None:
        fresh = continuations.encode(continuations.Continuation(continuations.INCONSISTENT, after))
        refusal = errors.expired(_EXPIRED_CONTINUE)
        refusal.list_metadata = {"continue": fresh}
        return refusal
    if options.continue_token:
        return errors.expired(_EXPIRED_CONTINUE)
    asked, oldest = options.resource_version, source.store.oldest
    return errors.expired(f"The resourceVersion for the provided list is too old. ({asked}, the oldest is {oldest})")


def future_is_expired(error: FutureRevisionError) -> errors.StatusError:
    """410: a watch from a revision that the log has not reached. The client must list again."""
    return errors.expired(f"too old resource version: {error.revision} ({error.current})")
