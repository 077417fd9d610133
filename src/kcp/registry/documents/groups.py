"""The priority and the Go package of API groups, which discovery and OpenAPI show.

`kcp.builtin` declares them; all other groups are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final, NamedTuple

CUSTOM_PRIORITY: Final = 1000
"""The ``groupPriorityMinimum`` of the groups of CustomResourceDefinitions."""

_sources: Final[dict[Callable[[], Mapping[str, Group]], None]] = {}


class Group(NamedTuple):
    """A group's ``groupPriorityMinimum`` (kubectl resolves an ambiguous name to the group with the highest), and its Go package
    where that does not follow from the group's name."""

    priority: int
    package: str | None = None


def declare(source: Callable[[], Mapping[str, Group]]) -> None:
    """Add a source of groups by name; it is called when a group is first looked up."""
    if source not in _sources:
        _sources[source] = None
        _declared.cache_clear()


def group_order(group: str) -> tuple[int, str]:
    """The sorting key of groups: by priority, then alphabetically."""
    found = _declared().get(group)
    return (-(found.priority if found else CUSTOM_PRIORITY), group)


def go_package(group: str) -> str | None:
    """The declared Go package of a group; None where it follows from the group's name."""
    found = _declared().get(group)
    return found.package if found else None


@cache
def _declared() -> Mapping[str, Group]:
    return {name: group for source in _sources for name, group in source().items()}
