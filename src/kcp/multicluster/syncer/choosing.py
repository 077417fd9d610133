"""Which resources are synced, in which version, and why others are not. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from kcp.api.kinds import GroupResource
from kcp.client import APIResource
from kcp.client.discovery.resolution import Discovered
from kcp.multicluster.syncer.kinds import kinds
from kcp.multicluster.syncer.statuses import Problem

_VERBS_UPSTREAM: Final = frozenset(("get", "list", "watch", "patch"))
_VERBS_DOWNSTREAM: Final = _VERBS_UPSTREAM | {"create", "delete"}


class Pair(NamedTuple):
    """A resource as it is served upstream and downstream, in one version."""

    upstream: APIResource
    downstream: APIResource


@dataclass(frozen=True)
class Choice:
    """The resources to sync, and by name why other ones are not.

    ``unknown``: whether a server serves them cannot be read at the moment.
    """

    pairs: dict[GroupResource, Pair] = field(default_factory=dict)
    stopped: dict[str, Problem] = field(default_factory=dict)
    unknown: set[GroupResource] = field(default_factory=set)


def offered_versions(imports: Iterable[Mapping[str, Any]], cluster: str) -> dict[GroupResource, set[str]]:
    """Return the resources and versions that negotiation has found usable on a cluster: of compatible, available imports."""
    found: dict[GroupResource, set[str]] = {}
    for each in imports:
        spec, status = each.get("spec") or {}, each.get("status") or {}
        version = spec.get("groupVersion") or {}
        true = {
            condition.get("type")
            for condition in status.get("conditions") or ()
            if isinstance(condition, dict) and condition.get("status") == "True"
        }
        if spec.get("location") == cluster and {"Compatible", "Available"} <= true:
            resource = GroupResource(str(version.get("group") or ""), str(spec.get("plural")))
            found.setdefault(resource, set()).add(str(version.get("version")))
    return found


def choose(
    upstream: Discovered,
    downstream: Discovered,
    offered: Mapping[GroupResource, Collection[str]],
    requested: Iterable[str] = (),
) -> Choice:
    """Choose what to sync: native resources, those that are offered, and those of ``requested`` names (``<plural>.<group>``)."""
    choice, known = Choice(), kinds()
    explicit = [_parsed(name) for name in requested]
    wanted = dict.fromkeys([_parsed(name) for name in known.native])
    wanted |= dict.fromkeys([*sorted(offered), *explicit])
    native = {_parsed(name) for name in known.native}
    for resource in wanted:
        name = str(resource)
        if name in known.never:
            if resource in explicit:
                choice.stopped[name] = Problem("NeverSynced", known.never[name])
            continue
        up, down = _served(upstream, resource, _VERBS_UPSTREAM), _served(downstream, resource, _VERBS_DOWNSTREAM)
        versions = offered.get(resource)
        common = [version for version in up if version in down and (versions is None or version in versions)]
        if common:
            choice.pairs[resource] = Pair(up[common[0]], down[common[0]])
            continue
        problem, unknown = _problem(resource, (upstream, up), (downstream, down))
        if unknown:
            choice.unknown.add(resource)
        if resource in explicit or resource not in native or unknown:
            choice.stopped[name] = problem
    return choice


def _problem(
    resource: GroupResource,
    upstream: tuple[Discovered, Mapping[str, Any]],
    downstream: tuple[Discovered, Mapping[str, Any]],
) -> tuple[Problem, bool]:
    """Why a resource is not synced, and whether that is only because discovery is incomplete."""
    for (discovered, served), where, reason in (
        (upstream, "kcp", "NotServedUpstream"),
        (downstream, "the cluster", "NotServedByCluster"),
    ):
        if served:
            continue
        failed = [f"{version}: {why}" for version, why in discovered.failed.items() if version.group == resource.group]
        if failed:
            return Problem("DiscoveryFailed", f"the discovery of {where} is incomplete: {'; '.join(failed)}"), True
        return Problem(
            reason, f"{where} does not serve it as a namespaced resource that can be watched and written"
        ), False
    return Problem("NoCommonVersion", "kcp and the cluster serve it in no common version that is compatible"), False


def _served(discovered: Discovered, resource: GroupResource, verbs: frozenset[str]) -> dict[str, APIResource]:
    return {
        each.version: each
        for each in discovered.resources
        if each.group_resource == resource and each.namespaced and verbs <= each.verbs
    }


def _parsed(name: str) -> GroupResource:
    plural, _, group = name.partition(".")
    return GroupResource(group, plural)
