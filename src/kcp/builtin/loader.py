"""Reads the declarations of the built-in types.

Each YAML document under ``types/`` has the shape of a CustomResourceDefinition manifest (apiextensions.k8s.io/v1), so
that built-in and custom resources are one table of types. Five things go beyond what a CRD can say:

* ``$ref: "#/$defs/Name"`` anywhere in a schema, to the schema's own ``$defs`` or to ``definitions.yaml``, with
  ``x-kubernetes-patch-strategy`` and ``x-kubernetes-patch-merge-key`` for strategic merge patches;
* ``x-kcp.verbs``: the verbs of the resource, where they are not all eight;
* ``x-kcp.subresources``: subresources beside status and scale: their ``verbs``, and ``group``, ``version`` and ``kind`` of
  the object that is sent where that is not the parent's kind;
* ``x-kcp.storage``: the resource to share storage with; empty for types that are answered and never stored;
* ``x-kcp.placeholder``: the type is only an empty list, so that clients that ask for it find one. Nothing can be written (the
  text says to those who try what to do instead), its names are free, and a CustomResourceDefinition that takes them is
  served in its place.

In a built-in type a column of format ``name`` is the name column: then none is put before the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final

import yaml

Definition = dict[str, Any]

_SHARED: Final = "definitions.yaml"
_PREFIX: Final = "#/$defs/"
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_types() -> list[Definition]:
    """All declarations, in the order of their groups' files. The caller owns them and must not change shared parts.

    All of them parse in 20 ms with libyaml; ask once a process.
    """
    folder = resources.files(__package__) / "types"
    shared = yaml.load(folder.joinpath(_SHARED).read_bytes(), Loader=_LOADER)  # noqa: S506 - a safe loader
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml") and entry.name != _SHARED)
    definitions: list[Definition] = []
    for name in names:
        definitions.extend(yaml.load_all(folder.joinpath(name).read_bytes(), Loader=_LOADER))
    for definition in definitions:
        for version in definition["spec"]["versions"]:
            _complete(version["schema"]["openAPIV3Schema"], shared)
    return definitions


def _complete(schema: Definition, shared: Mapping[str, Definition]) -> None:
    """Copy the shared definitions that a schema refers to, directly or not, into its ``$defs``."""
    own = schema.setdefault("$defs", {})
    waiting = set(_references(schema))
    while waiting:
        name = waiting.pop()
        if name not in own:
            own[name] = shared[name]
            waiting.update(_references(shared[name]))
    if not own:
        del schema["$defs"]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(_PREFIX)
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for item in node:
            yield from _references(item)
