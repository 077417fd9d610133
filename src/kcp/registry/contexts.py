"""The context of a request: the user, the logical cluster, and the options that every write has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from kcp.api.field_errors import shorten
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.registry.restrictions import WriteRestriction

STRICT: Final = "Strict"
WARN: Final = "Warn"
IGNORE: Final = "Ignore"
"""The values of ``fieldValidation`` (KEP-2885)."""
MAX_WARNINGS: Final = 1_000


@dataclass(slots=True)
class RequestContext:
    """The user, the logical cluster and the options of a request. ``warnings`` become ``Warning`` headers of the response."""

    user: User
    cluster: LogicalClusterName
    warnings: list[str] = field(default_factory=list)
    body_size: int = 0
    """Bytes of the request's body: work on a large one leaves the event loop."""
    field_manager: str = ""
    dry_run: bool = False
    field_validation: str = WARN
    restriction: WriteRestriction | None = None
    """What the user may change, where the permission for the request is limited."""
    _warned: set[str] | None = None

    def warn(self, text: str) -> None:
        """Add a warning once. Beyond ``MAX_WARNINGS`` warnings are dropped; the server sends fewer in any case."""
        warned = self._warned
        if warned is None:
            warned = self._warned = set()
        if text not in warned and len(warned) < MAX_WARNINGS:
            warned.add(text)
            self.warnings.append(shorten(text))
