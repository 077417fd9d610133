"""What the syncer knows of single resources: the data of ``kinds.yaml``, and which objects name which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final, NamedTuple

import yaml

from kcp.api.kinds import GroupResource
from kcp.api.object_references import DEPENDENCIES, REFERENCES, Paths
from kcp.client import APIResource


class Exclusion(NamedTuple):
    """Objects that cannot be copied: those with one of the values at a path."""

    path: str
    values: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class KindRules:
    """The rules of one resource.

    ``references`` are the paths at which objects of a resource are named. ``names`` are those that every namespace of a
    Kubernetes cluster has already, with the names of the copies.
    """

    references: Paths = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()
    excluded: Exclusion | None = None

    def copy_name(self, name: str) -> str:
        """Return the name of the copy of an object."""
        return self.names.get(name, name)


_PLAIN: Final = KindRules()


class Kinds(NamedTuple):
    """The rules of all resources."""

    rules: Mapping[str, KindRules]
    native: tuple[str, ...]
    never: Mapping[str, str]
    omitted_annotations: frozenset[str]
    dependencies: frozenset[str]
    """The resources whose objects follow those that name them."""
    owned: Mapping[tuple[str, str], APIResource]
    """The resources whose objects controllers make for copies, by API version and kind."""

    def of(self, resource: GroupResource) -> KindRules:
        """Return the rules of a resource."""
        return self.rules.get(str(resource), _PLAIN)


@cache
def kinds() -> Kinds:
    """Return the table."""
    text = resources.files(__package__).joinpath("kinds.yaml").read_text(encoding="utf-8")
    return _read(yaml.safe_load(text))


def _read(table: Mapping[str, Any]) -> Kinds:
    references = {str(resource): paths for resource, paths in REFERENCES.items()}
    entries = table["resources"]
    rules = {name: _rules(entries.get(name, {}), references.get(name, {})) for name in entries.keys() | references}
    made = [APIResource(each["group"], each["version"], each["plural"], each["kind"]) for each in table["owned"]]
    return Kinds(
        rules,
        tuple(table["native"]),
        table["neverSynced"],
        frozenset(table["omittedAnnotations"]),
        DEPENDENCIES,
        {(each.api_version, each.kind): each for each in made},
    )


def _rules(entry: Mapping[str, Any], references: Paths) -> KindRules:
    excluded = entry.get("excluded")
    return KindRules(
        references,
        entry.get("names", {}),
        entry.get("fields", {}),
        tuple(entry.get("omitted", ())),
        excluded and Exclusion(excluded["path"], tuple(excluded["values"]), excluded["reason"]),
    )
