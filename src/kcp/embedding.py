"""Running kcp inside another program, with parts of its own: the public names for it. See docs/embedding.md.

Importing this module imports the whole server. Everything in ``__all__`` keeps its name and meaning until a release says
otherwise in its notes; every other module of `kcp` may change at any time.
"""

from kcp.api.errors import StatusError
from kcp.auth.authentication.authenticator import Authenticator, Credentials, TokenAuthenticator
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, Decision, PathRule, ResourceRule, Rules
from kcp.auth.users import User, authenticated
from kcp.controllers.manager import Controller
from kcp.registry.admission.chain import AdmissionPlugin, AdmissionRequest
from kcp.registry.contexts import RequestContext
from kcp.registry.requests import DeleteOptions, ListOptions, Target
from kcp.registry.types.resource_types import ResourceType
from kcp.registry.verbs.registry import Registry
from kcp.server.audit.backends import AuditBackend
from kcp.server.audit.events import AuditEvent
from kcp.server.observability.request_records import AuditSink, RequestRecord
from kcp.server.process.configuration import Configuration
from kcp.server.process.environment import Environment
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.parts import (
    Parts,
    default_audit_backends,
    default_audit_sinks,
    default_authenticators,
    default_authorizers,
    default_controllers,
    default_token_authenticators,
)
from kcp.server.process.running import ServerProcess
from kcp.server.process.storage import Storage, open_storage
from kcp.server.requests.application import RequestFilter
from kcp.server.requests.exchanges import Exchange
from kcp.server.requests.mounts import Mount
from kcp.server.requests.request_info import RequestInfo
from kcp.store.server_contract import ServerStore

__all__ = [
    "AdmissionPlugin",
    "AdmissionRequest",
    "AuditBackend",
    "AuditEvent",
    "AuditSink",
    "Authenticator",
    "AuthorizationAttributes",
    "Authorizer",
    "Configuration",
    "ConfigurationError",
    "Controller",
    "Credentials",
    "Decision",
    "DeleteOptions",
    "Environment",
    "Exchange",
    "ListOptions",
    "Mount",
    "Parts",
    "PathRule",
    "Registry",
    "RequestContext",
    "RequestFilter",
    "RequestInfo",
    "RequestRecord",
    "ResourceRule",
    "ResourceType",
    "Rules",
    "ServerProcess",
    "ServerStore",
    "StatusError",
    "Storage",
    "Target",
    "TokenAuthenticator",
    "User",
    "authenticated",
    "default_audit_backends",
    "default_audit_sinks",
    "default_authenticators",
    "default_authorizers",
    "default_controllers",
    "default_token_authenticators",
    "open_storage",
]
