"""Manifests of every built-in kind of Kubernetes, and strategic merge patches of some of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Object = dict[str, Any]

NAMESPACE = "objects"
"""The namespace of the objects that name none."""
PATCHES = Path(__file__).with_name("patches.yaml")
_DEFAULTS = Path(__file__).with_name("defaults.yaml")


class StrategicPatch(NamedTuple):
    """A strategic merge patch of a copy of a manifest, and how the copy differs from that."""

    title: str
    of: str
    patch: Object
    changes: Object


@cache
def manifests() -> dict[str, Object]:
    """The manifests by ``<kind>/<name>``, in the order in which a cluster takes them."""
    files = sorted(Path(__file__).parent.glob("*.yaml"))
    found = [
        each
        for file in files
        if file not in {PATCHES, _DEFAULTS}
        for each in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)
    ]
    return {identity(each): each for each in found}


@cache
def patches() -> list[StrategicPatch]:
    """The strategic merge patches."""
    found = yaml.load(PATCHES.read_text(), Loader=yaml.CSafeLoader)
    return [StrategicPatch(each["title"], each["of"], each["patch"], each.get("changes", {})) for each in found]


def identity(manifest: Object) -> str:
    """The kind and the name of an object."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def patched_copy(patch: StrategicPatch, name: str) -> Object:
    """A new object for a patch: the manifest under another name, with the changes."""
    manifest = manifests()[patch.of]
    metadata = {**manifest["metadata"], **patch.changes.get("metadata", {}), "name": name}
    return {**manifest, **patch.changes, "metadata": metadata}
