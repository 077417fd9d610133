"""What an operator configures: rules with their providers and keys. The server's configuration reads them from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FLAG: Final = "--encryption-provider-config"


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key of a provider. Its secret is in no representation."""

    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KMSOptions:
    """A plugin: its name in the configuration, its endpoint (``unix:///path``) and the timeout of calls in seconds."""

    name: str
    endpoint: str
    timeout: float = 3.0


@dataclass(frozen=True, slots=True)
class ProviderOptions:
    """A provider: its kind (``aesgcm`` ... ``identity``, ``kms``) and its keys, or the plugin of a KMS."""

    kind: str
    keys: tuple[NamedKey, ...] = ()
    kms: KMSOptions | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """The providers of some resources, in order."""

    resources: tuple[str, ...]
    providers: tuple[ProviderOptions, ...]


ReadRules = Callable[[Path], Sequence[Rule]]
"""Reads a file. Raises OptionError."""
