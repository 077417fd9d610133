"""The attributes of a request that an authorizer decides on.

Follows k8s.io/apiserver's ``authorizer.Attributes``, with the logical cluster.
"""

from __future__ import annotations

from dataclasses import dataclass

from kcp.logical_clusters import LogicalClusterName


@dataclass(slots=True)
class AuthorizationAttributes:
    """A verb on a resource, or on a path that is not a resource (``path``). ``cluster`` may be ``*``."""

    cluster: LogicalClusterName
    verb: str
    is_resource: bool = True
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    def label_selector(self) -> str:
        """Return the text of the label selector of a list or watch, as the client sent it."""
        return ""

    def field_selector(self) -> str:
        """Return the text of the field selector of a list or watch, as the client sent it."""
        return ""


class DelegatedAttributes(AuthorizationAttributes):
    """A request to another server, which has this one decide by a SubjectAccessReview; its paths are not this server's."""

    __slots__ = ()
