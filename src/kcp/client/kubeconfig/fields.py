"""Reading the typed fields of a kubeconfig's entry. A message names the file, the entry and the field, never a value."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kcp.client.errors import ConfigurationError
from kcp.client.kubeconfig.entries import Origin


class Fields:
    """The fields of one mapping. Unknown ones are ignored, as by kubectl; ``null`` counts as absent."""

    def __init__(self, value: object, origin: Origin, path: str = "") -> None:
        self._origin = origin
        self._path = path
        if value is not None and not isinstance(value, Mapping):
            raise ConfigurationError(f"{origin}: {path + ' ' if path else ''}must be a mapping")
        self._value: Mapping[str, Any] = value or {}

    def error(self, name: str, problem: str) -> ConfigurationError:
        """The error of a field."""
        return ConfigurationError(f"{self._origin}: {self._named(name)} {problem}")

    def _named(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def has(self, name: str) -> bool:
        """Whether a field is there."""
        return self._value.get(name) is not None

    def raw(self, name: str) -> Any:
        """The value of a field of any type."""
        return self._value.get(name)

    def text(self, name: str) -> str:
        """A string; empty where the field is absent."""
        value = self._value.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.error(name, "must be a string: quote it")
        return value

    def required(self, name: str) -> str:
        """A string that may not be empty."""
        value = self.text(name)
        if not value:
            raise self.error(name, "is required")
        return value

    def header(self, name: str) -> str:
        """A string that becomes a part of a header."""
        value = self.text(name)
        if not value.isprintable() or not value.isascii():
            raise self.error(name, "must consist of printable ASCII characters on one line")
        return value

    def flag(self, name: str) -> bool:
        """A boolean; false where the field is absent."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.error(name, "must be true or false")
        return bool(value)

    def data(self, name: str) -> bytes:
        """Bytes in base64."""
        try:
            return base64.b64decode("".join(self.text(name).split()), validate=True)
        except (binascii.Error, ValueError):
            raise self.error(name, "must be base64") from None

    def file(self, name: str) -> Path | None:
        """A path; relative ones count from the folder of the kubeconfig."""
        value = self.text(name)
        return self._origin.resolve(value) if value else None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        found = tuple(self._items(name))
        if not all(isinstance(item, str) for item in found):
            raise self.error(name, "must be a list of strings")
        return found

    def _items(self, name: str) -> list[Any]:
        value = self._value.get(name)
        if value is not None and not isinstance(value, list):
            raise self.error(name, "must be a list")
        return value or []

    def child(self, name: str) -> Fields:
        """A mapping inside; empty where the field is absent."""
        return Fields(self._value.get(name), self._origin, self._named(name))

    def children(self, name: str) -> Iterator[Fields]:
        """The mappings of a list."""
        for number, item in enumerate(self._items(name)):
            yield Fields(item, self._origin, f"{self._named(name)}[{number}]")

    def items(self) -> Mapping[str, Any]:
        """All fields."""
        return self._value
