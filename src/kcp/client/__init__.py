"""An asynchronous client for Kubernetes API servers, with informers, work queues, leader election and events. See docs/client.md.

Everything in ``__all__`` keeps its name and meaning until a release says otherwise in its notes; the modules below are
internal. It reaches servers over HTTP only and imports nothing of kcp's server.
"""

from kcp.client.client import ALL_NAMESPACES, Client
from kcp.client.configuration import ClientConfiguration, Impersonation
from kcp.client.errors import (
    AlreadyExistsError,
    BadRequestError,
    ClientError,
    ConfigurationError,
    ConflictError,
    CredentialsError,
    DiscoveryError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    MethodNotAllowedError,
    NotFoundError,
    ServerTimeoutError,
    ServiceUnavailableError,
    StatusError,
    TooManyRequestsError,
    TransportError,
    UnauthorizedError,
)
from kcp.client.events.recorder import EventRecorder
from kcp.client.informers.caches import Cache, Change
from kcp.client.informers.informers import Informer, Informers
from kcp.client.informers.objects import CachedObject, ObjectKey
from kcp.client.kubeconfig.resolving import load_configuration
from kcp.client.leader_election import LeaderElector, LeadershipLostError
from kcp.client.objects import ObjectList, Table, WatchEvent
from kcp.client.reflectors import FollowOptions
from kcp.client.resource_client import ResourceClient
from kcp.client.resources import APIResource
from kcp.client.watching import WatchOptions
from kcp.client.work_queues import RetryError, WorkQueue

__all__ = [
    "ALL_NAMESPACES",
    "APIResource",
    "AlreadyExistsError",
    "BadRequestError",
    "Cache",
    "CachedObject",
    "Change",
    "Client",
    "ClientConfiguration",
    "ClientError",
    "ConfigurationError",
    "ConflictError",
    "CredentialsError",
    "DiscoveryError",
    "EventRecorder",
    "ExpiredError",
    "FollowOptions",
    "ForbiddenError",
    "Impersonation",
    "Informer",
    "Informers",
    "InvalidError",
    "LeaderElector",
    "LeadershipLostError",
    "MethodNotAllowedError",
    "NotFoundError",
    "ObjectKey",
    "ObjectList",
    "ResourceClient",
    "RetryError",
    "ServerTimeoutError",
    "ServiceUnavailableError",
    "StatusError",
    "Table",
    "TooManyRequestsError",
    "TransportError",
    "UnauthorizedError",
    "WatchEvent",
    "WatchOptions",
    "WorkQueue",
    "load_configuration",
]
