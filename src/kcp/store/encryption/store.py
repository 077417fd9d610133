"""A store whose values are encrypted at rest: the contract over another store, which keeps the encrypted form.

What the other store holds, on the disk and in its caches, is encrypted; what callers get is not. Reads of resources without a
rule pass through. A value that cannot be decrypted is handled as a damaged one: reads of its key fail, pages leave it out, a
watch does not show it, and no write replaces it unknowingly.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Any, Final

from kcp.store.contract import (
    UNREADABLE,
    Action,
    Change,
    Condition,
    Event,
    Hint,
    Key,
    Page,
    PreconditionFailedError,
    Range,
    Record,
    StoreUnavailableError,
    Subscription,
    UndecryptableValueError,
    key_text,
)
from kcp.store.encryption import key_records
from kcp.store.encryption.key_records import KeyUse
from kcp.store.encryption.providers import Providers, Rules
from kcp.store.encryption.transformers import (
    DecryptionError,
    EncryptionError,
    KeyPendingError,
    Transformer,
    context_of,
)
from kcp.store.figures import Distribution, Labelled
from kcp.store.hub import Charge, Scheduler
from kcp.store.server_contract import ServerStore

logger: Final = logging.getLogger(__name__)

_SLICE_RECORDS: Final = 200
_SLICE_BYTES: Final = 256 * 1024
"""Records, and bytes of values, that a search decrypts before it yields to the event loop."""
_MAX_LOGGED: Final = 1000
"""Values that cannot be decrypted and are logged."""
_VALUES: Final = "values"
_NAMED: Final = 3
"""The readiness note about values that cannot be read, and how many of them it names."""


class EncryptedStore:
    """The contract over ``inner``, with the rules by which values are encrypted. Made by `opening.open_encrypted`."""

    def __init__(self, inner: ServerStore, rules: Rules, max_changes: int) -> None:
        self.inner = inner
        self.rules = rules
        self.recorded: set[KeyUse] = set()
        """The uses of keys that are in the log's key records."""
        self.on_close: Callable[[], Awaitable[None]] | None = None
        self.extra_checks: dict[str, Callable[[], str | None]] = {}
        """Readiness checks beside those of the inner store."""
        self._max_changes = max_changes
        self._logged: set[tuple[Key, int]] = set()
        self._undecryptable: dict[Key, None] = {}
        """The keys whose current values are known not to decrypt, in the order of their discovery."""
        # what takes no values and returns none is the inner store's method itself
        self.catch_up = inner.catch_up
        self.count = inner.count
        self.unchanged_since = inner.unchanged_since
        self.compact = inner.compact
        self.follow = inner.follow
        inner.decode_events(self._decoded)

    # the contract, and what a server needs beside it

    @property
    def revision(self) -> int:
        """The newest durable revision."""
        return self.inner.revision

    @property
    def oldest(self) -> int:
        """The oldest revision that can be listed, and watched from."""
        return self.inner.oldest

    def get(self, key: Key) -> Record | None:
        """Return the durable value of a key. Raises DamagedValueError."""
        record = self.inner.get(key)
        if record is None or (providers := self.rules[key[0]]) is None:
            return record
        return self._opened(record, providers)

    def latest(self, key: Key) -> Record | None:
        """Return the newest value of a key, durable or pending. Raises DamagedValueError."""
        record = self.inner.latest(key)
        if record is None or (providers := self.rules[key[0]]) is None:
            return record
        return self._opened(record, providers)

    def scan(
        self,
        range_: Range,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        count: bool = True,
        size: int = 0,
    ) -> Page:
        """Return a page of the range in key order."""
        page = self.inner.scan(range_, limit=limit, after=after, at=at, count=count, size=size)
        if (providers := self.rules[range_[0]]) is None:
            return page
        opened = self._opened_page(page, providers)
        while not opened.records and page.remaining:  # a page with keys after it has records
            last = page.records[-1].key
            page = self.inner.scan(range_, limit=limit, after=last, at=page.revision, count=count, size=size)
            more = self._opened_page(page, providers)
            opened = more._replace(damaged=[*opened.damaged, *more.damaged])
        return opened

    async def select(
        self,
        range_: Range,
        hint: Hint,
        *,
        limit: int = 0,
        after: Key | None = None,
        at: int | None = None,
        size: int = 0,
    ) -> Page:
        """Return a page of the range, which may leave out records that do not meet the hint.

        Encrypted values cannot be searched in the storage: they are decrypted, in slices between which other tasks run.
        """
        if (providers := self.rules[range_.resource]) is None:
            return await self.inner.select(range_, hint, limit=limit, after=after, at=at, size=size)
        at = self.revision if at is None else at
        found: list[Record] = []
        damaged: list[Key] = []
        left = size
        while True:
            page = await self.inner.select(
                range_, Hint(hint.name), limit=_SLICE_RECORDS, after=after, at=at, size=_SLICE_BYTES
            )
            opened = self._opened_page(page, providers)
            damaged += opened.damaged
            for record in opened.records:
                if not hint.admits(record):
                    continue
                found.append(record)
                left -= len(record.value)
                if (limit and len(found) == limit) or (size and left <= 0):
                    return Page(found, at, -1, damaged)
            if not page.remaining or not page.records:
                return Page(found, at, 0, damaged)
            after = page.records[-1].key
            await asyncio.sleep(0)

    def watch(self, range_: Range, after: int, *, buffer: int = 10_000) -> Subscription:
        """Watch all changes of the range after a revision. Events are decrypted once, for all watchers."""
        return self.inner.watch(range_, after, buffer=buffer)

    def is_stale(self, record: Record) -> bool:
        """Whether a write of the same value would store it in another form."""
        if (providers := self.rules[record.key.resource]) is None:
            return False
        stored = self.inner.latest(record.key)
        return stored is not None and stored.revision == record.revision and providers.is_stale(stored.value)

    def write(self, changes: Sequence[Change], conditions: Sequence[Condition] = ()) -> Awaitable[int]:
        """Check all preconditions and apply all changes or none; the result is their common revision, once durable.

        Raises also StoreUnavailableError if the key of a key management service is not usable.
        """
        rules = self.rules
        sealed: list[Change] | None = None
        touched = False
        for key, _ in conditions:
            touched = touched or rules[key[0]] is not None
        for index, change in enumerate(changes):
            if (providers := rules[change[0][0]]) is None:
                continue
            touched = True
            if change.value is not None:
                sealed = list(changes) if sealed is None else sealed
                sealed[index] = self._sealed(change, providers)
        if not touched:
            return self.inner.write(changes, conditions)
        if sealed is not None:
            self._add_key_records(sealed)
        try:
            return _Outcome(self, self.inner.write(changes if sealed is None else sealed, conditions))
        except PreconditionFailedError as error:
            raise self.readable(error) from None

    def _sealed(self, change: Change, providers: Providers) -> Change:
        assert change.value is not None
        try:
            return change._replace(value=providers.encrypt(change.value, context_of(change.key)))
        except EncryptionError as error:
            raise StoreUnavailableError(f"{change.key.resource} cannot be encrypted: {error}") from error

    def _add_key_records(self, changes: list[Change]) -> None:
        """Add a key record to a write for each use of a key that has none in the log yet."""
        added: set[KeyUse] = set()
        for change in tuple(changes):
            providers = self.rules[change.key.resource]
            if change.value is None or providers is None or not providers.encrypts:
                continue
            use = key_records.use_in(change.value, change.key.resource, providers.first)
            # a write that is full already leaves it to the next one
            if use not in self.recorded and use not in added and len(changes) < self._max_changes:
                added.add(use)
                changes.append(key_records.change_for(use, providers.encrypt(*key_records.word_of(use))))

    def readable(self, error: PreconditionFailedError) -> PreconditionFailedError:
        """Return the error with the value that readers get."""
        actual = error.actual
        if actual is None or (providers := self.rules[error.key.resource]) is None:
            return error
        return PreconditionFailedError(error.key, error.expected, self._decrypted(actual, providers, current=True))

    # decrypting

    def _opened(self, record: Record, providers: Providers) -> Record:
        key, revision, value, tag = record
        try:
            opened = Record(key, revision, providers.decrypt(value, context_of(key)), tag)
        except DecryptionError as error:
            self._note(record, error, current=True)
            raise UndecryptableValueError(key, revision, str(error)) from error
        if self._undecryptable:
            self._undecryptable.pop(key, None)  # the key that was missing is there
        return opened

    def _opened_page(self, page: Page, providers: Providers) -> Page:
        records: list[Record] = []
        damaged = list(page.damaged)
        current = page.revision >= self.inner.revision
        for record in page.records:
            opened = self._decrypted(record, providers, current=current)
            if opened.value is UNREADABLE:
                damaged.append(record.key)
            else:
                records.append(opened)
        return Page(records, page.revision, page.remaining, damaged)

    def _decrypted(self, record: Record, providers: Providers, *, current: bool) -> Record:
        """Return the record with its value decrypted, or `UNREADABLE`; ``current`` unless it may have been replaced."""
        key, revision, value, tag = record
        if value is UNREADABLE or key_records.is_key_record(key):
            return record
        try:
            return Record(key, revision, providers.decrypt(value, context_of(key)), tag)
        except DecryptionError as error:
            self._note(record, error, current=current)
            return Record(key, revision, UNREADABLE, "")

    def _note(self, record: Record, error: DecryptionError, *, current: bool) -> None:
        """Log once that a value cannot be decrypted; remember it while it is current."""
        place = (record.key, record.revision)
        if isinstance(error, KeyPendingError):
            return
        if current and len(self._undecryptable) < _MAX_LOGGED:
            self._undecryptable[record.key] = None
        if place in self._logged or len(self._logged) >= _MAX_LOGGED:
            return
        self._logged.add(place)
        logger.error(
            "the value of %s at revision %d cannot be decrypted: %s", key_text(record.key), record.revision, error
        )

    def _decoded(self, event: Event) -> Event:
        """Return the event that followers and watchers get."""
        key = event.key
        if self._undecryptable:
            self._undecryptable.pop(key, None)  # it is replaced or deleted
        if (providers := self.rules[key[0]]) is None:
            if key_records.is_key_record(key):
                self._follow_key_record(event)
            return event
        if key_records.is_key_record(key):
            self._follow_key_record(event)
            return event
        record, previous = event.record, event.previous
        return Event(
            event.revision,
            key,
            None if record is None else self._decrypted(record, providers, current=True),
            None if previous is None else self._decrypted(previous, providers, current=False),
        )

    def _follow_key_record(self, event: Event) -> None:
        """Note a use of a key. Another server, or an import, may have written it with a key that this server lacks."""
        record = event.record if event.record is not None else event.previous
        if record is None or record.value is UNREADABLE:
            return
        use = key_records.use_of(record)
        if event.record is None:
            self.recorded.discard(use)
            return
        if use in self.recorded:
            return
        self.recorded.add(use)
        self.rules.watch_for_ciphertext(use.resource)
        providers = self.rules[use.resource]
        assert providers is not None
        try:
            providers.decrypt(record.value, context_of(record.key))
        except KeyPendingError:
            return  # being fetched, before values need it
        except DecryptionError as error:
            logger.error(
                "values of %s are encrypted with %s, which this server cannot decrypt: %s",
                use.resource,
                use.prefix.decode(),
                error,
            )

    async def announce(self, transformer: Transformer, encrypt: Callable[[bytes, bytes], bytes]) -> None:
        """Write key records for a new key of a transformer: one for each resource that it has encrypted."""
        probe = encrypt(b"", b"")
        for resource in sorted({use.resource for use in self.recorded if use.prefix == transformer.prefix}):
            use = key_records.use_in(probe, resource, transformer)
            if use not in self.recorded:
                await self.inner.write([key_records.change_for(use, encrypt(*key_records.word_of(use)))])

    # figures, health, the end

    def statistics(self) -> dict[str, float]:
        """Return the figures of the inner store. A value that cannot be decrypted counts as a damaged one."""
        figures = dict(self.inner.statistics())
        figures["damaged_values"] = figures.get("damaged_values", 0) + len(self._undecryptable)
        return figures

    def labelled(self) -> Labelled:
        """Return the figures of the inner store with labels."""
        return self.inner.labelled()

    def distributions(self) -> dict[str, Distribution]:
        """Return the histograms of the inner store."""
        return dict(self.inner.distributions())

    def readiness_checks(self) -> dict[str, Callable[[], str | None]]:
        """Return the readiness checks."""
        return {**self.inner.readiness_checks(), **self.extra_checks}

    def readiness_notes(self) -> dict[str, Callable[[], str | None]]:
        """Return the notes of the inner store; the one about values names also those that cannot be decrypted."""
        notes = dict(self.inner.readiness_notes())
        damaged = notes.get(_VALUES, lambda: None)
        notes[_VALUES] = lambda: "; ".join(filter(None, (damaged(), self._summary()))) or None
        return notes

    def _summary(self) -> str | None:
        """Describe the current values that cannot be decrypted, naming the first; None if none are known."""
        keys = [*self._undecryptable]
        if not keys:
            return None
        counted = "1 value" if len(keys) == 1 else f"{len(keys)} values"
        more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
        return f"{counted} cannot be decrypted ({', '.join(map(key_text, keys[:_NAMED]))}{more})"

    def observe_deliveries(self, observer: Callable[[float], None]) -> None:
        """Call back with the duration of each long delivery, in seconds."""
        self.inner.observe_deliveries(observer)

    def schedule_deliveries(self, schedule: Scheduler, charge: Charge) -> None:
        """Let a function decide when a long delivery to the watchers of a logical cluster goes on, and ``charge`` the others."""
        self.inner.schedule_deliveries(schedule, charge)

    def expect_writes(self, in_progress: Callable[[], int]) -> None:
        """Let the store ask how many writes requests have in progress: the only one waits for no others."""
        self.inner.expect_writes(in_progress)

    def decode_events(self, decode: Callable[[Event], Event]) -> None:
        """Apply a function to each event, once its values are decrypted."""
        self.inner.decode_events(lambda event: decode(self._decoded(event)))

    async def lead(self, task: str, start: Action, stop: Action) -> Action:
        """Run a task on one of the servers of the log."""
        return await self.inner.lead(task, start, stop)

    async def close(self) -> None:
        """Finish accepted writes, end subscriptions, release the storage and the connections to key management services."""
        if self.on_close is not None:
            await self.on_close()
        await self.inner.close()


class _Outcome:
    """The result of a write: a refusal shows the value that readers get."""

    __slots__ = ("_result", "_store")

    def __init__(self, store: EncryptedStore, result: Awaitable[int]) -> None:
        self._store = store
        self._result = result

    def __await__(self) -> Generator[Any, Any, int]:
        try:
            return (yield from self._result.__await__())
        except PreconditionFailedError as error:
            raise self._store.readable(error) from None
