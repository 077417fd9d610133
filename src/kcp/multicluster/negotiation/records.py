"""Imports and negotiated resources as the controller keeps them: by API, with one copy of equal descriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from kcp.client import CachedObject, Change, ObjectKey
from kcp.logical_clusters import LogicalClusterName
from kcp.multicluster.conditions import is_true
from kcp.multicluster.crd_puller import CORE, name_of
from kcp.multicluster.negotiation.api import UpdateStrategy, strategy_of
from kcp.multicluster.negotiation.rules import Offer
from kcp.multicluster.negotiation.specs import COMMON_FIELDS, CommonSpec
from kcp.schema.raw_schemas import schema, strings, text

_DIGEST = "digest"
"""The field of a cached spec that stands for its description."""


class API(NamedTuple):
    """A resource in one logical cluster: all versions of it are reconciled together, as one definition serves them."""

    cluster: LogicalClusterName
    group: str
    plural: str

    @property
    def definition(self) -> str:
        """The name of its definition."""
        return name_of(self.group, self.plural)

    @classmethod
    def of_definition(cls, cluster: LogicalClusterName, name: str) -> API:
        """Return the API of a definition's name."""
        plural, _, group = name.partition(".")
        return cls(cluster, "" if group == CORE else group, plural)

    def __str__(self) -> str:
        return f"{self.cluster}/{self.definition}"


@dataclass(frozen=True, slots=True)
class Record:
    """What an import and a negotiated resource have in common."""

    name: str
    uid: str
    resource_version: str
    generation: int
    created: str
    deleting: bool
    finalizers: tuple[str, ...]
    version: str
    spec: CommonSpec
    conditions: tuple[Mapping[str, Any], ...]

    def is_true(self, kind: str) -> bool:
        """Return whether a condition is true."""
        return is_true(list(self.conditions), kind)


@dataclass(frozen=True, slots=True)
class Import(Record):
    """An APIResourceImport."""

    strategy: UpdateStrategy

    def offer(self) -> Offer:
        """Return what it offers. It is settled if this very spec was found compatible."""
        settled = is_true(list(self.conditions), "Compatible", self.generation)
        return Offer(self.name, self.spec, self.strategy, settled)


@dataclass(frozen=True, slots=True)
class Negotiated(Record):
    """A NegotiatedAPIResource."""

    publish: bool


def _common(api_object: Mapping[str, Any], spec: CommonSpec) -> dict[str, Any]:
    meta, fields, status = (schema(dict(api_object), part) or {} for part in ("metadata", "spec", "status"))
    generation = meta.get("generation")
    return {
        "name": text(meta, "name"),
        "uid": text(meta, "uid"),
        "resource_version": text(meta, "resourceVersion"),
        "generation": generation if isinstance(generation, int) else 0,
        "created": text(meta, "creationTimestamp"),
        "deleting": bool(meta.get("deletionTimestamp")),
        "finalizers": tuple(strings(meta, "finalizers")),
        "version": text(schema(fields, "groupVersion") or {}, "version"),
        "spec": spec,
        "conditions": tuple(status.get("conditions") or ()),
    }


def import_of(api_object: Mapping[str, Any], spec: CommonSpec) -> Import:
    """Return the record of an APIResourceImport."""
    return Import(**_common(api_object, spec), strategy=strategy_of(api_object["spec"].get("schemaUpdateStrategy")))


def negotiated_of(api_object: Mapping[str, Any], spec: CommonSpec) -> Negotiated:
    """Return the record of a NegotiatedAPIResource."""
    return Negotiated(**_common(api_object, spec), publish=api_object["spec"].get("publish") is True)


class State(NamedTuple):
    """The imports, in the order of their creation, and the negotiated resource of one version of an API."""

    imports: tuple[Import, ...]
    negotiated: Negotiated | None


class Records:
    """The imports and negotiated resources of all logical clusters by API.

    `shorten` is the transformation of the informers: it replaces descriptions by digests, and keeps one copy of each.
    """

    def __init__(self, changed: Callable[[API], None]) -> None:
        """``changed`` is called with each API that a change concerns."""
        self._changed = changed
        self._specs: WeakValueDictionary[str, CommonSpec] = WeakValueDictionary()
        self._latest: CommonSpec | None = None
        self._imports: dict[API, dict[ObjectKey, Import]] = {}
        self._negotiated: dict[API, dict[ObjectKey, Negotiated]] = {}

    def shorten(self, api_object: dict[str, Any]) -> dict[str, Any]:
        """Return an object without its managed fields, and with the digest of its description in its place."""
        spec = self.interned(CommonSpec(api_object["spec"]))
        self._latest = spec  # until the handler is called, which is at once
        fields = {name: value for name, value in api_object["spec"].items() if name not in COMMON_FIELDS}
        fields |= {name: api_object["spec"].get(name) for name in ("groupVersion", "plural")}
        meta = {name: value for name, value in api_object["metadata"].items() if name != "managedFields"}
        return {**api_object, "metadata": meta, "spec": {**fields, _DIGEST: spec.digest}}

    def interned(self, spec: CommonSpec) -> CommonSpec:
        """Return the copy of a description that is kept."""
        return self._specs.setdefault(spec.digest, spec)

    def on_import(self, change: Change) -> None:
        """Follow a change of an import."""
        self._follow(change, self._imports, import_of)

    def on_negotiated(self, change: Change) -> None:
        """Follow a change of a negotiated resource."""
        self._follow(change, self._negotiated, negotiated_of)

    def _follow(self, change: Change, records: dict[API, dict[ObjectKey, Any]], make: Callable[..., Any]) -> None:
        before, after = (self._api_of(each) for each in (change.old, change.new))
        if before is not None and before != after:
            known = records.get(before, {})
            known.pop(change.key, None)
            if not known:
                records.pop(before, None)
            self._changed(before)
        if after is not None and change.new is not None:
            decoded = change.new.decode()
            records.setdefault(after, {})[change.key] = make(decoded, self._specs[decoded["spec"][_DIGEST]])
            self._changed(after)

    def _api_of(self, cached: CachedObject | None) -> API | None:
        if cached is None:
            return None
        spec = cached.decode()["spec"]
        return API(cached.key.cluster, text(schema(spec, "groupVersion") or {}, "group"), text(spec, "plural"))

    def __contains__(self, api: API) -> bool:
        return api in self._imports or api in self._negotiated

    def of(self, api: API) -> dict[str, State]:
        """Return what is known of an API, by version."""
        imports = sorted(self._imports.get(api, {}).values(), key=lambda each: (each.created, each.name))
        negotiated = sorted(self._negotiated.get(api, {}).values(), key=lambda each: (each.created, each.name))
        versions = dict.fromkeys(each.version for each in (*negotiated, *imports))
        return {version: _state(version, imports, negotiated) for version in versions}


def _state(version: str, imports: list[Import], negotiated: list[Negotiated]) -> State:
    """The state of a version. Of several negotiated resources, which only users create, the oldest is the version's."""
    own = tuple(each for each in imports if each.version == version and not each.deleting)
    return State(own, next((each for each in negotiated if each.version == version), None))
