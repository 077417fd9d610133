"""The keys of a configuration: its rules with a transformer for each key, and its KMS providers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from kcp.logical_clusters import SERVER_RECORDS
from kcp.store.contract import OptionError, Record
from kcp.store.encryption.ciphers import AESCBCTransformer, AESGCMTransformer, SecretboxTransformer
from kcp.store.encryption.kms.client import KMSError
from kcp.store.encryption.kms.provider import KMSProvider
from kcp.store.encryption.options import FLAG, NamedKey, ProviderOptions, Rule
from kcp.store.encryption.providers import Counts, Rules
from kcp.store.encryption.transformers import DecryptionError, IdentityTransformer, Transformer

SHARED_RULE: Final = "secrets"
"""The servers' own records (their CA's key, tokens) are encrypted as Secrets are."""
_MISSING_NACL: Final = f"{FLAG}: secretbox needs PyNaCl: pip install 'kcp-apiserver[secretbox]'"


@dataclass(slots=True)
class Keyring:
    """Rules, and the KMS providers whose transformers are among theirs."""

    rules: Rules
    kms: list[KMSProvider] = field(default_factory=list)

    def writers(self) -> list[KMSProvider]:
        """The KMS providers that writes use."""
        first = {id(providers.first) for providers in self.rules.all_providers()}
        return [provider for provider in self.kms if id(provider.transformer) in first]

    def kms_of(self, record: Record) -> KMSProvider | None:
        """The KMS provider that encrypted a value."""
        return next((each for each in self.kms if record.value.startswith(each.transformer.prefix)), None)

    async def fetch(self, record: Record) -> None:
        """Fetch the key of a value from its KMS. Raises DecryptionError."""
        provider = self.kms_of(record)
        if provider is not None:
            try:
                await provider.fetch(record.value)
            except KMSError as error:
                raise DecryptionError(str(error)) from error

    def problem(self) -> str | None:
        """Why a KMS provider does not answer; None if all do."""
        return next((provider.problem for provider in self.kms if provider.problem is not None), None)

    async def stop(self) -> None:
        """End the work of the KMS providers."""
        for provider in self.kms:
            await provider.stop()

    def close(self) -> None:
        """Close the connections of a command."""
        for provider in self.kms:
            provider.close()


def keyring_of(configured: Sequence[Rule], counts: Counts | None = None) -> Keyring:
    """Make the keys of a configuration. ``counts`` gets the transformations. Raises OptionError without a library."""
    made: dict[str, list[Transformer]] = {}
    kms: list[KMSProvider] = []
    for rule in configured:
        transformers: list[Transformer] = []
        for options in rule.providers:
            if options.kms is not None:
                provider = KMSProvider(options.kms)
                kms.append(provider)
                transformers.append(provider.transformer)
            else:
                transformers += _transformers(options)
        for resource in rule.resources:
            made.setdefault(resource, []).extend(transformers)  # as kube-apiserver joins rules of one resource
    rules = Rules(made, counts)
    rules.share(SERVER_RECORDS, SHARED_RULE)
    return Keyring(rules, kms)


def _transformers(options: ProviderOptions) -> list[Transformer]:
    if options.kind == "identity":
        return [IdentityTransformer()]
    return [_transformer(options.kind, key) for key in options.keys]


def _transformer(kind: str, key: NamedKey) -> Transformer:
    if kind == "aesgcm":
        return AESGCMTransformer(key.name, key.secret)
    if kind == "aescbc":
        return AESCBCTransformer(key.name, key.secret)
    try:
        return SecretboxTransformer(key.name, key.secret)
    except ImportError as error:
        raise OptionError(_MISSING_NACL) from error
