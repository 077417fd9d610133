"""Admission of CertificateSigningRequests: which requests may be made, and who may approve and sign them.

Follows kube-apiserver's plugins CertificateSubjectRestriction, CertificateApproval and CertificateSigning: approving needs the
verb ``approve``, and signing the verb ``sign``, on the resource ``signers`` under the name of the signer, or ``<domain>/*``.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from kcp.api import errors
from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import Authorizer, decided
from kcp.auth.signing import SIGNERS, refused_group
from kcp.builtin.fields import mapping, text
from kcp.registry.admission.chain import CREATE, UPDATE, AdmissionRequest
from kcp.registry.types.resource_types import ResourceType

GROUP: Final = "certificates.k8s.io"
PLURAL: Final = "certificatesigningrequests"
_HANDLED: Final = frozenset({(CREATE, ""), (UPDATE, "approval"), (UPDATE, "status")})


class CertificateAdmission:
    """The rules about CertificateSigningRequests that depend on who writes, and on the subject."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, type_: ResourceType, operation: str, subresource: str) -> bool:
        """Whether it is called for such writes."""
        return type_.builtin and (type_.group, type_.plural) == (GROUP, PLURAL) and (operation, subresource) in _HANDLED

    async def mutate(self, request: AdmissionRequest) -> None:
        """Change nothing."""

    async def validate(self, request: AdmissionRequest) -> None:
        """Refuse what is not allowed. Raises StatusError 403."""
        if request.operation == CREATE:
            _check_subject(request)
        elif request.subresource == "approval":
            await self._check_signer(request, "approve")
        elif _signs(request):
            await self._check_signer(request, "sign")

    async def _check_signer(self, request: AdmissionRequest, verb: str) -> None:
        """Check the permission for the signer of the present object. Raises StatusError 403."""
        signer = text(mapping(request.old_object or {}, "spec"), "signerName")
        for name in (signer, f"{signer.partition('/')[0]}/*"):
            attributes = AuthorizationAttributes(
                request.context.cluster, verb, group=GROUP, version="*", resource="signers", name=name
            )
            if (await decided(self._authorizer.decide(request.user, attributes))).allowed:
                return
        raise _forbidden(request, f'user not permitted to {verb} requests with signerName "{signer}"')


def _signs(request: AdmissionRequest) -> bool:
    before, after = (mapping(each or {}, "status") for each in (request.old_object, request.object))
    return any(before.get(name) != after.get(name) for name in ("certificate", "conditions"))


def _check_subject(request: AdmissionRequest) -> None:
    from cryptography import x509

    spec = mapping(request.object or {}, "spec")
    signer = text(spec, "signerName")
    if signer not in SIGNERS:
        return
    content: Any = spec.get("request")
    if group := refused_group(x509.load_pem_x509_csr(base64.b64decode(content))):
        raise _forbidden(request, f"use of {signer} signer with {group} group is not allowed")


def _forbidden(request: AdmissionRequest, why: str) -> errors.StatusError:
    name = request.target.name or text(mapping(request.object or {}, "metadata"), "name")
    return errors.forbidden(request.target.type.resource, name, why)
