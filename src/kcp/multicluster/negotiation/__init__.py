"""Negotiation of one API for a resource that clusters serve in different ways. See docs/api-negotiation.md.

Each cluster's offer is an APIResourceImport; what all of them can run is a NegotiatedAPIResource, which is published as a
CustomResourceDefinition. The rules are pure functions (`rules`,
`decisions`, `publishing`, `statuses`), which `controller` applies.
"""

from kcp.multicluster.negotiation.api import UpdateStrategy
from kcp.multicluster.negotiation.controller import NegotiationController
from kcp.multicluster.negotiation.importing import (
    Imported,
    Offered,
    import_apis,
    read_offered,
    record_offered,
    remove_imports,
)
from kcp.multicluster.negotiation.running import run

__all__ = [
    "Imported",
    "NegotiationController",
    "Offered",
    "UpdateStrategy",
    "import_apis",
    "read_offered",
    "record_offered",
    "remove_imports",
    "run",
]
