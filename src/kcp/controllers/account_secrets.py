"""The controller of token Secrets: Secrets of the type ``kubernetes.io/service-account-token``.

Follows kube-controller-manager's tokens controller: a Secret that names a service account gets the account's UID, a token, the CA
certificates and the namespace; one whose account does not exist, or is another of the same name, is deleted. A token
whose key has ended after a rotation is signed again.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Sequence
from typing import Any, Final

from kcp.api import documents, errors
from kcp.auth import json_web_tokens
from kcp.auth.service_accounts.claims import Account
from kcp.auth.service_accounts.issuer import TokenIssuer
from kcp.controllers import tasks
from kcp.controllers.system import ignore_not_found, system_context
from kcp.controllers.work_queues import ControllerQueue
from kcp.registry.requests import DeleteOptions, Target
from kcp.registry.verbs.registry import Registry
from kcp.store.contract import UNREADABLE, Event, Hint, Key, Needle, Range, Record

TYPE: Final = "kubernetes.io/service-account-token"
NAME_ANNOTATION: Final = "kubernetes.io/service-account.name"
UID_ANNOTATION: Final = "kubernetes.io/service-account.uid"
_MARK: Final = f'"{TYPE}"'.encode()
_HINT: Final = Hint(needles=(Needle((_MARK,)),))
_CHUNK: Final = 500
_SECRETS: Final = "secrets"
_ACCOUNTS: Final = "serviceaccounts"
_CONFLICT: Final = 409

Object = dict[str, Any]


class TokenSecretController:
    """Fills in and deletes the token Secrets of all logical clusters."""

    def __init__(self, registry: Registry, issuer: TokenIssuer, trust: str) -> None:
        """``issuer`` signs the tokens; ``trust`` are the CA certificates for clients, in PEM form, empty for none."""
        self._registry = registry
        self._issuer, self._trust = issuer, trust
        self._accounts = registry.catalog.builtin("", "v1", _ACCOUNTS)
        self._secrets = registry.catalog.builtin("", "v1", _SECRETS)
        self._queue: ControllerQueue[Key] = ControllerQueue("token secrets", self._reconcile)
        self._unfollow = (
            registry.store.follow(_SECRETS, self._on_secrets),
            registry.store.follow(_ACCOUNTS, self._on_accounts),
        )
        self._due: dict[Range, None] = {}
        """The ranges to scan, in order, each once."""
        self._scanning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the workers, and queue the token Secrets that are present."""
        self._queue.start()
        self._issuer.key_ring.on_change.append(self._on_keys)
        await self._scan(Range(_SECRETS))

    async def stop(self) -> None:
        """Stop; the next start queues what is left."""
        for unfollow in self._unfollow:
            unfollow()
        if self._on_keys in self._issuer.key_ring.on_change:
            self._issuer.key_ring.on_change.remove(self._on_keys)
        self._due.clear()
        if self._scanning is not None:
            self._scanning.cancel()
            await asyncio.gather(self._scanning, return_exceptions=True)
        await self._queue.stop()

    def _on_secrets(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.record is not None and _MARK in event.record.value:
                self._queue.add(event.key)

    def _on_accounts(self, events: Sequence[Event]) -> None:
        for event in events:
            key = event.key
            had_account = event.previous is not None or key.name in self._accounts.strategy.virtual_names
            if had_account and _uid_of(event.record) != _uid_of(event.previous):
                self._scan_later(Range(_SECRETS, key.cluster, key.namespace))

    def _on_keys(self) -> None:
        self._scan_later(Range(_SECRETS))

    def _scan_later(self, range_: Range) -> None:
        self._due[range_] = None
        if self._scanning is None or self._scanning.done():
            self._scanning = tasks.start(self._scan_due, "scan for token secrets")

    async def _scan_due(self) -> None:
        while self._due:
            range_ = next(iter(self._due))
            del self._due[range_]
            await self._scan(range_)

    async def _scan(self, range_: Range) -> None:
        """Queue the token Secrets of a range."""
        after: Key | None = None
        while True:
            page = await self._registry.store.select(range_, _HINT, limit=_CHUNK, after=after)
            for record in page.records:
                if _MARK in record.value:
                    self._queue.add(record.key)
            if not page.remaining:
                return
            after = page.records[-1].key

    async def _reconcile(self, key: Key) -> None:
        source = self._registry.source
        record = source.latest(self._secrets, key.cluster, key.namespace, key.name)
        if record is None:
            return
        secret = documents.decode_stored(record.value)
        meta = secret["metadata"]
        annotations = meta.get("annotations") or {}
        name = annotations.get(NAME_ANNOTATION)
        if secret.get("type") != TYPE or not name or meta.get("deletionTimestamp"):
            return
        found = source.latest(self._accounts, key.cluster, key.namespace, name)
        uid = _uid_of(found)
        if uid is None or annotations.get(UID_ANNOTATION, uid) != uid:
            await self._delete(key, meta["uid"])
            return
        wanted = await self._wanted(key, secret, Account(key.cluster, key.namespace, name, uid))
        if wanted is not None:
            await self._store(key, meta["uid"], wanted, uid)

    async def _wanted(self, key: Key, secret: Object, account: Account) -> Object | None:
        """The data that the Secret must have; None where it has it, with the account's UID."""
        data = secret.get("data") or {}
        wanted = {**data, "ca.crt": _encoded(self._trust), "namespace": _encoded(key.namespace)}
        if not self._trust:
            del wanted["ca.crt"]
        if self._needs_token(key, data.get("token")):
            wanted["token"] = _encoded(await self._issuer.issue_for_secret(account, key.name))
        has_uid = (secret["metadata"].get("annotations") or {}).get(UID_ANNOTATION) == account.uid
        return None if has_uid and wanted == data else wanted

    def _needs_token(self, key: Key, encoded: str | None) -> bool:
        """Whether a Secret has no token, or one whose key has ended. One whose key ends later is looked at again then."""
        if not encoded:
            return True
        try:
            token = json_web_tokens.parse(base64.b64decode(encoded))
        except (binascii.Error, ValueError):
            token = None
        if token is None or not token.key_id:
            return False  # a client has written it
        in_force = self._issuer.key_ring.verifying_keys(token.key_id)
        if in_force and (until := in_force[0].until) is not None:
            self._queue.add_later(key, max(until - time.time(), 0.0) + 1.0)
        return not in_force

    async def _store(self, key: Key, secret_uid: str, data: Object, account_uid: str) -> None:
        def change(old: Object) -> Object:
            meta = old["metadata"]
            if meta["uid"] != secret_uid:
                return old
            annotations = {**(meta.get("annotations") or {}), UID_ANNOTATION: account_uid}
            return {**old, "metadata": {**meta, "annotations": annotations}, "data": data}

        target = Target(self._secrets, key.namespace, key.name)
        await ignore_not_found(self._registry.change(system_context(key.cluster), target, change))

    async def _delete(self, key: Key, uid: str) -> None:
        target = Target(self._secrets, key.namespace, key.name)
        try:
            await ignore_not_found(self._registry.delete(system_context(key.cluster), target, DeleteOptions(uid=uid)))
        except errors.StatusError as error:
            if error.code != _CONFLICT:  # another Secret of the name: it is queued
                raise


def _uid_of(record: Record | None) -> str | None:
    """The UID of a stored account; None where there is none, or where it cannot be read."""
    if record is None or record.value is UNREADABLE:
        return None
    uid: str = documents.decode_stored(record.value)["metadata"]["uid"]
    return uid


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
