"""Providers: which transformers a resource has, in order. A write uses the first, a read the one whose prefix the value has.

The rules of an EncryptionConfiguration name resources, all of a group (``*.apps``, ``*.`` for the core group) or all
(``*.*``); the narrowest rule that names a resource applies (k8s.io/apiserver, ``encryptionconfig.StaticTransformers``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kcp.store.encryption.transformers import ENCRYPTED, DecryptionError, IdentityTransformer, Transformer, prefix_text

ALL: Final = "*.*"
_IDENTITY: Final = IdentityTransformer()
_MAX_REMEMBERED: Final = 10_000
"""Resources whose providers are remembered."""

Counts = dict[tuple[str, str, str], int]
"""Transformations by type (``from_storage``, ``to_storage``), prefix and status, under kube-apiserver's labels."""


class Providers:
    """The providers of a resource."""

    def __init__(self, transformers: Sequence[Transformer], counts: Counts | None = None) -> None:
        """``counts`` gets the transformations."""
        self.transformers = tuple(transformers)
        self._first = self.transformers[0]
        self._counts: Counts = {} if counts is None else counts
        self._labels = {id(each): ("from_storage", each.prefix.decode(), "OK") for each in transformers}

    @property
    def encrypts(self) -> bool:
        """Whether writes are encrypted."""
        return bool(self._first.prefix)

    @property
    def first(self) -> Transformer:
        """The transformer of writes."""
        return self._first

    def encrypt(self, value: bytes, context: bytes) -> bytes:
        """Return the stored form of a value. Raises EncryptionError."""
        stored = self._first.encrypt(value, context)
        self._count("to_storage", self._first, "OK")
        return stored

    def decrypt(self, stored: bytes, context: bytes) -> bytes:
        """Return the value of a stored form. Raises DecryptionError, with the last reason if several keys share a prefix."""
        failure: DecryptionError | None = None
        for transformer in self.transformers:
            if stored.startswith(transformer.prefix):
                try:
                    value = transformer.decrypt(stored, context)
                except DecryptionError as error:
                    self._count("from_storage", transformer, "unknown-non-grpc")
                    failure = error if failure is None or transformer.prefix else failure
                else:
                    label = self._labels[id(transformer)]
                    self._counts[label] = self._counts.get(label, 0) + 1
                    return value
        if failure is not None:
            raise failure
        if not stored.startswith(ENCRYPTED):
            raise DecryptionError("the value is not encrypted, and identity is not among the providers")
        raise DecryptionError(f"no provider has the key of its prefix {prefix_text(stored)}")

    def is_stale(self, stored: bytes) -> bool:
        """Whether a write of the same value would store it with another key."""
        first = self._first
        if not first.prefix:
            return stored.startswith(ENCRYPTED)
        return not stored.startswith(first.prefix) or first.is_stale(stored)

    def transformer_of(self, stored: bytes) -> Transformer | None:
        """The transformer whose prefix a stored value has; None for plain values and unknown keys."""
        found = (each for each in self.transformers if each.prefix and stored.startswith(each.prefix))
        return next(found, None)

    def _count(self, kind: str, transformer: Transformer, status: str) -> None:
        label = (kind, transformer.prefix.decode(), status)
        self._counts[label] = self._counts.get(label, 0) + 1


class Rules(dict[str, Providers | None]):
    """The providers by resource, as keys name it: ``secrets``, ``widgets.example.com``. None: nothing is encrypted."""

    def __init__(self, rules: Mapping[str, Sequence[Transformer]], counts: Counts | None = None) -> None:
        """``rules`` are the transformers by resource or wildcard (``*.``, ``*.example.com``, ``*.*``)."""
        super().__init__()
        self._rules = {name: Providers(transformers, counts) for name, transformers in rules.items()}
        self._counts = counts

    def __missing__(self, resource: str) -> Providers | None:
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        group = resource.partition(".")[2]
        found = None
        for rule in (resource, f"*.{group}", ALL):
            if (found := self._rules.get(rule)) is not None:
                break
        self[resource] = found
        return found

    def share(self, resource: str, with_resource: str) -> None:
        """Give a resource the providers of another one. It may be read in plain text as well."""
        providers = self[with_resource]
        if providers is not None:
            self._rules[resource] = Providers([*providers.transformers, _IDENTITY], self._counts)
            self.clear()

    def watch_for_ciphertext(self, resource: str) -> None:
        """Check the values of a resource that no rule names: it has had encrypted ones, which must not be served."""
        if self[resource] is None:
            self._rules[resource] = Providers([_IDENTITY])
            self.clear()

    def replace(self, other: Rules) -> None:
        """Take over other rules."""
        self._rules = other._rules
        self.clear()

    def all_providers(self) -> list[Providers]:
        """The providers of each rule."""
        return list(self._rules.values())
