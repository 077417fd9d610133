"""Names of published definitions: ``io.k8s.api.core.v1.ConfigMap``, ``com.example.v1.Widget``.

Clients find a definition by its ``x-kubernetes-group-version-kind``, but generators and tests know the names of Kubernetes' own
types, so those are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kcp.registry.documents.groups import go_package

if TYPE_CHECKING:
    from kcp.registry.types.resource_types import ResourceType


def package(group: str, version: str, *, builtin: bool) -> str:
    """The prefix of the kind in a definition's name."""
    known = go_package(group) if builtin or not group else None
    if known is None:
        if builtin and (group.endswith(".k8s.io") or "." not in group):
            known = f"io.k8s.api.{group.partition('.')[0]}"
        else:
            known = ".".join(reversed(group.split(".")))
    return f"{known}.{version}"


def package_of(type_: ResourceType) -> str:
    """The prefix of the kinds in the names of a resource type's definitions."""
    return package(type_.group, type_.version, builtin=type_.builtin)


def group_words(group: str) -> str:
    """A group as it appears in tags and operation names: ``core``, ``rbacAuthorization``, ``exampleCom``."""
    first, *others = (group.removesuffix(".k8s.io") or "core").replace("-", ".").split(".")
    return first + "".join(capitalized(word) for word in others)


def capitalized(word: str) -> str:
    """A word with its first letter in upper case."""
    return word[:1].upper() + word[1:]


def document_name(group: str, version: str) -> str:
    """The key of a group version in the index of OpenAPI v3."""
    return f"apis/{group}/{version}" if group else f"api/{version}"
