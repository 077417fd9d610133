"""The list of public names: a change of it is a change for users, and needs a release note."""

from __future__ import annotations

import kcp
import kcp.embedding
import kcp.testing

EMBEDDING = """
    AdmissionPlugin AdmissionRequest AuditBackend AuditEvent AuditSink Authenticator AuthorizationAttributes Authorizer
    Configuration ConfigurationError Controller Credentials Decision DeleteOptions Environment Exchange ListOptions Mount Parts
    PathRule Registry RequestContext RequestFilter RequestInfo RequestRecord ResourceRule ResourceType Rules
    ServerProcess ServerStore StatusError Storage Target TokenAuthenticator User authenticated default_audit_backends
    default_audit_sinks default_authenticators default_authorizers default_controllers default_token_authenticators open_storage
"""
PARTS = """
    admission_plugins audit_backends audit_sinks authenticators authorizers backend controllers filters mounts
    token_authenticators
"""


def test_the_public_names() -> None:
    assert kcp.__all__ == ["__version__"]
    assert sorted(kcp.testing.__all__) == ["LogicalCluster", "Server"]
    assert sorted(kcp.embedding.__all__) == EMBEDDING.split()


def test_every_public_name_is_there_and_documented() -> None:
    for module in (kcp, kcp.testing, kcp.embedding):
        for name in module.__all__:
            found = getattr(module, name)
            assert isinstance(found, str) or name == "RequestFilter" or found.__doc__, name


def test_the_parts_of_a_server() -> None:
    assert sorted(kcp.embedding.Parts.__dataclass_fields__) == PARTS.split()
