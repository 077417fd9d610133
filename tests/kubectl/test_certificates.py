"""Client certificates from request to use: ``kubectl certificate approve`` and ``deny``, and credentials in a kubeconfig."""

from __future__ import annotations

import base64
import json

from tests.certificates.requests import Applicant
from tests.support.kubectl import Kubectl
from tests.support.waiting import wait_until


def test_a_certificate_is_requested_approved_and_used(kubectl: Kubectl) -> None:
    applicant = Applicant.of("joe", ["devs"])
    name = f"csr-{kubectl.environment['NAMESPACE']}"
    kubectl("create", "-f", "-", stdin=json.dumps(applicant.csr(name)))
    assert "Pending" in kubectl("get", "csr", name)
    assert f"certificatesigningrequest.certificates.k8s.io/{name} approved" in kubectl("certificate", "approve", name)

    def certificate() -> str:
        return kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}")

    issued = base64.b64decode(wait_until(certificate, "the certificate"))
    assert "Approved,Issued" in kubectl("get", "csr", name)
    (kubectl.home / "joe.crt").write_bytes(issued)
    (kubectl.home / "joe.key").write_bytes(applicant.private_key)
    if not kubectl.old:  # Debian's 1.20 ends with a fault of Go's when it writes a kubeconfig
        files = (
            f"--client-certificate={kubectl.home}/joe.crt",
            f"--client-key={kubectl.home}/joe.key",
            "--embed-certs",
        )
        kubectl("config", "set-credentials", "joe", *files)
        cluster = kubectl("config", "view", "--minify", "-o", "jsonpath={.contexts[0].context.cluster}")
        kubectl("config", "set-context", "as-joe", f"--cluster={cluster}", "--user=joe")
        shown = kubectl.fails("--context", "as-joe", "get", "configmaps")
        assert 'configmaps is forbidden: User "joe" cannot list resource "configmaps"' in shown
        who = json.loads(kubectl("--context", "as-joe", "auth", "whoami", "-o", "json"))
        assert who["status"]["userInfo"]["groups"] == ["devs", "system:authenticated"]
    kubectl("delete", "csr", name)


def test_a_request_is_denied(kubectl: Kubectl) -> None:
    name = f"csr-{kubectl.environment['NAMESPACE']}"
    kubectl("create", "-f", "-", stdin=json.dumps(Applicant.of("joe").csr(name)))
    assert f"certificatesigningrequest.certificates.k8s.io/{name} denied" in kubectl("certificate", "deny", name)
    assert "Denied" in kubectl("get", "csr", name)
    kubectl.fails("certificate", "approve", name)
    kubectl("delete", "csr", name)
