"""Comparison of descriptions of an API, with a bounded memory of results: clusters of one version offer equal descriptions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from kcp.multicluster.negotiation.merging import with_unique_keys
from kcp.multicluster.negotiation.specs import CommonSpec, definition_of_spec, presented_as, specs_of
from kcp.schema.compatibility import (
    Incompatibility,
    InvalidSchemaError,
    NoCommonSchemaError,
    compare_definitions,
    lowest_common_definition,
)
from kcp.schema.raw_schemas import schema

_MEMORY: Final = 32 << 20
"""Bytes of results to keep."""
_OVERHEAD: Final = 500
"""Bytes that a result takes beside its description and messages."""
_MAX_MESSAGE: Final = 4000
"""Characters of the incompatibilities in a condition."""


class Comparison(NamedTuple):
    """The comparison of two descriptions.

    common     the lowest common description; None if there is none
    breaks     why a cluster with the second one cannot run every object of the first one; empty if ``common`` is the first
    obstacles  why there is nothing in common
    """

    common: CommonSpec | None
    breaks: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()


class UnfinishedError(Exception):
    """More comparisons are needed than are allowed. Those that were made are remembered."""


class Comparisons:
    """Compares descriptions, and remembers the results. Belongs to one thread at a time."""

    def __init__(self, memory: int = _MEMORY) -> None:
        """``memory`` is the number of bytes that results may take."""
        self._memory = memory
        self._found: OrderedDict[tuple[str, str], Comparison] = OrderedDict()
        self._size = 0
        self._allowed: int | None = None
        self._closed = False
        self.computed = 0
        """The number of comparisons that no earlier result has answered."""

    @contextmanager
    def limited_to(self, count: int) -> Iterator[None]:
        """Raise UnfinishedError in the block instead of comparing more than so often."""
        self._allowed = self.computed + count
        try:
            yield
        finally:
            self._allowed = None

    def close(self) -> None:
        """Raise UnfinishedError instead of comparing from now on. May be called by another thread."""
        self._closed = True

    def problems(self, spec: CommonSpec) -> tuple[str, ...]:
        """Return why a description cannot be served; empty if it can."""
        return self.compare(spec, spec).obstacles

    def compare(self, one: CommonSpec, other: CommonSpec) -> Comparison:
        """Compare two descriptions of one version of a resource. Names and columns for kubectl are those of the first."""
        key = (one.digest, other.digest)
        known = self._found.get(key)
        if known is not None:
            self._found.move_to_end(key)
            return known
        if self._closed or self.computed == self._allowed:
            raise UnfinishedError
        self.computed += 1
        found = _compare(one, presented_as(other, one))
        self._found[key] = found
        self._size += _size_of(found)
        while self._size > self._memory:
            _, dropped = self._found.popitem(last=False)
            self._size -= _size_of(dropped)
        return found

    def fold(self, specs: list[CommonSpec]) -> CommonSpec | None:
        """Return the lowest common description of one or more; None if there is none.

        Two may have nothing in common until a third one leaves out the field on which they differ.
        """
        common, *waiting = dict.fromkeys(specs)
        while waiting:
            later = []
            for spec in waiting:
                found = self.compare(common, spec).common
                if found is None:
                    later.append(spec)
                else:
                    common = found
            if len(later) == len(waiting):
                return None
            waiting = later
        return common


def _size_of(comparison: Comparison) -> int:
    described = len(comparison.common.data) if comparison.common is not None else 0
    return _OVERHEAD + described + sum(map(len, comparison.breaks + comparison.obstacles))


def _compare(one: CommonSpec, other: CommonSpec) -> Comparison:
    old, new = definition_of_spec(one), definition_of_spec(other)
    try:
        breaks = compare_definitions(old, new)
        if not breaks:
            return Comparison(one)
        common = lowest_common_definition(definition_of_spec(_with_unique_keys(one, other)), new)
    except InvalidSchemaError as error:
        problems = tuple(_renamed(f"{each.field}: {each.body}") for each in error.errors)
        return Comparison(None, problems, problems)
    except NoCommonSchemaError as error:
        return Comparison(None, _shown(breaks), _shown(error.incompatibilities))
    (found,) = specs_of(common).values()
    if found == one:
        return Comparison(one)
    return Comparison(found, _shown(breaks))


def _with_unique_keys(spec: CommonSpec, other: CommonSpec) -> CommonSpec:
    """A description whose atomic lists have the types of another one's: what is common to both has unique keys."""
    fields = spec.fields()
    schemas = (schema(each, "openAPIV3Schema") or {} for each in (fields, other.fields()))
    return CommonSpec({**fields, "openAPIV3Schema": with_unique_keys(*schemas)})


def _shown(found: list[Incompatibility]) -> tuple[str, ...]:
    """The incompatibilities as text, with the paths that the fields have in imports."""
    return tuple(_renamed(str(each)) for each in found)


def _renamed(text: str) -> str:
    """Replace the path of a definition's field, at the start of a message, by that of the import's field."""
    for parent in ("spec.names.", "spec.validation."):
        if text.startswith(parent):
            return f"spec.{text.removeprefix(parent)}"
    if not text.startswith("spec.versions["):
        return text
    rest = text.partition("]")[2]
    for field, name in _RENAMED.items():
        if rest.startswith(field):
            return f"spec.{name}{rest.removeprefix(field)}"
    return text


_RENAMED: Final = {
    ".schema.openAPIV3Schema": "openAPIV3Schema",
    ".subresources": "subResources",
    ".additionalPrinterColumns": "columnDefinitions",
    ".selectableFields": "selectableFields",
}


def message_of(incompatibilities: tuple[str, ...]) -> str:
    """Return the text of incompatibilities for a condition; what is too long is counted instead."""
    shown: list[str] = []
    length = 0
    for number, each in enumerate(incompatibilities):
        length += len(each) + 2
        if shown and length > _MAX_MESSAGE:
            return f"{'; '.join(shown)}; and {len(incompatibilities) - number} more"
        shown.append(each[:_MAX_MESSAGE])
    return "; ".join(shown)
