"""Groups, versions, kinds and resources, in the terms of Kubernetes' API conventions.

A *kind* is the type of an object (``ConfigMap``); a *resource* is the collection in a URL (``configmaps``).
The core group is the empty string.
"""

import re
from typing import Final, NamedTuple

_VERSION: Final = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?", re.ASCII)
_STAGE: Final = {None: 0, "beta": 1, "alpha": 2}


class GroupVersion(NamedTuple):
    """An API group and one of its versions, e.g. ``apps/v1``."""

    group: str
    version: str

    def __str__(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @classmethod
    def parse(cls, text: str) -> "GroupVersion":
        """Read an ``apiVersion``: ``v1`` or ``group/version``. Raises ValueError when there is more than one slash."""
        group, slash, version = text.rpartition("/")
        if "/" in group:
            raise ValueError(f"unexpected GroupVersion string: {text}")
        return cls(group, version) if slash else cls("", text)


class GroupKind(NamedTuple):
    """A kind without a version; printed ``Widget.example.com`` in messages."""

    group: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


class GroupResource(NamedTuple):
    """A resource without a version; printed ``widgets.example.com`` in messages."""

    group: str
    resource: str

    def __str__(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource


class GroupVersionKind(NamedTuple):
    """A kind of one group and version."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """The ``apiVersion`` of the kind's objects."""
        return f"{self.group}/{self.version}" if self.group else self.version


def version_order(version: str) -> tuple[int, int, int, int, str]:
    """Sorting key of versions, the preferred one first: v2, v1, v2beta2, v2beta1, v1alpha1, then other names alphabetically.

    The rule is that of "Version priority" in the CustomResourceDefinition reference.
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        return (1, 0, 0, 0, version)
    major, stage, minor = match.groups()
    return (0, _STAGE[stage], -int(major), -int(minor or 0), "")
