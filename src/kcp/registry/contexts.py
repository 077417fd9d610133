"""The context of a request: the user, the logical cluster, and the options that every write has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName

STRICT: Final = "Strict"
WARN: Final = "Warn"
IGNORE: Final = "Ignore"
"""The values of ``fieldValidation`` (KEP-2885)."""


@dataclass(slots=True)
class RequestContext:
    """The user, the logical cluster and the options of a request. ``warnings`` become ``Warning`` headers of the response."""

    user: User
    cluster: LogicalClusterName
    field_manager: str = ""
    dry_run: bool = False
    field_validation: str = WARN
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """Add a warning, unless it is there already."""
        if text not in self.warnings:
            self.warnings.append(text)
