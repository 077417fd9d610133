"""Making the copy of an object what it should be."""

from __future__ import annotations

from kcp.client import NotFoundError
from kcp.client.objects import Object
from kcp.multicluster.syncer.comparisons import contains, content_digest
from kcp.multicluster.syncer.downstream import ProblemError
from kcp.multicluster.syncer.ownership import Key, metadata_of
from kcp.multicluster.syncer.shared_state import Settled, Shared, now
from kcp.multicluster.syncer.sides import Sides
from kcp.multicluster.syncer.statuses import Problem
from kcp.multicluster.syncer.transforms import applied_digest, copy_of, exclusion_of


async def apply_copy(sides: Sides) -> Object:
    """Apply the copy if it differs from what it should be. Returns it.

    Raises ProblemError if the cluster does not take it, RetryError, StatusError, ClientError.
    """
    shared, synced, present, key = sides.shared, sides.synced, sides.copy, sides.key
    settled, version = shared.settled.get(key), str(metadata_of(sides.present_source).get("resourceVersion"))
    content = None if present is None else content_digest(present)
    if present is not None and settled == Settled(version, content or ""):
        return present
    source = await sides.whole_source()
    if excluded := exclusion_of(source, synced.rules):
        raise ProblemError(Problem("NotCopied", excluded))
    wanted = copy_of(source, shared.identity, synced.rules, synced.pair.downstream)
    await shared.namespaces.ensure(key.namespace)
    live = present
    if live is None or not _is_in_sync(shared, key, live, wanted, content or ""):
        try:
            live = await synced.copies.apply(wanted, present)
        except NotFoundError:
            await shared.namespaces.create(
                key.namespace
            )  # the cache may have one that is gone; then the next attempt succeeds
            raise
        if present is None:
            shared.created[key] = now() + shared.lag
    shared.settled[key] = Settled(str(metadata_of(source)["resourceVersion"]), content_digest(live))
    return live


def _is_in_sync(shared: Shared, key: Key, present: Object, wanted: Object, content: str) -> bool:
    if applied_digest(present) != applied_digest(wanted):
        return False
    settled = shared.settled.get(key)
    return (settled is not None and settled.content == content) or contains(present, wanted)
