"""Keys, PKCS #10 requests, CertificateSigningRequests, and the connections of their owners."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLIENT = "kubernetes.io/kube-apiserver-client"
PATH = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
Object = dict[str, Any]


@dataclass
class Applicant:
    """A key and a PKCS #10 request for it."""

    key: ec.EllipticCurvePrivateKey
    request: bytes

    @classmethod
    def of(
        cls, user: str, groups: Iterable[str] = (), names: Iterable[x509.GeneralName] = (), *, authority: bool = False
    ) -> Applicant:
        """An applicant for a user and groups. ``names`` and ``authority`` go into the request as extensions."""
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        if names := [*names]:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        if authority:
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return cls(key, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    @property
    def private_key(self) -> bytes:
        """The key in PEM form."""
        form, encryption = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, form, encryption)

    def csr(self, name: str, *, signer: str = CLIENT, usages: Iterable[str] = ("client auth",), **spec: Any) -> Object:
        """The CertificateSigningRequest."""
        packed = base64.b64encode(self.request).decode()
        return {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": name},
            "spec": {"request": packed, "signerName": signer, "usages": [*usages], **spec},
        }

    def context(self, trust: Path, certificate: bytes, folder: Path) -> ssl.SSLContext:
        """The TLS context of a client with the certificate."""
        pair = folder / "client.pem"
        pair.write_bytes(certificate + self.private_key)
        context = ssl.create_default_context(cafile=str(trust))
        context.load_cert_chain(pair)
        return context


def decided(obj: Object, type_: str) -> Object:
    """The request with the decision Approved or Denied."""
    condition = {"type": type_, "status": "True", "reason": "Test", "message": "by the test"}
    status = obj.get("status") or {}
    return {**obj, "status": {**status, "conditions": [*(status.get("conditions") or ()), condition]}}


def certificate_of(obj: Object) -> bytes:
    """The certificate of a request in PEM form; empty without one."""
    return base64.b64decode((obj.get("status") or {}).get("certificate") or "")


def conditions_of(obj: Object) -> dict[str, str]:
    """The messages of the conditions by their types."""
    return {each["type"]: each.get("message", "") for each in (obj.get("status") or {}).get("conditions") or ()}
