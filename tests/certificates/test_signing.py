"""CertificateSigningRequests on a real server: approved ones are signed, and their certificates hold in one logical cluster."""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kcp.auth import certificates
from kcp.embedding import AuthorizationAttributes, Decision, Parts, Rules, User, default_authorizers
from tests.certificates.requests import PATH, Applicant, Object, certificate_of, conditions_of, decided
from tests.support.running_server import Answer, RunningServer
from tests.support.waiting import wait_until

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


class Approvers:
    """Lets jane do everything with requests but approve and sign, and lets her approve for one domain in one logical cluster."""

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        if user.name != "jane":
            return Decision(False)
        if attributes.resource != "signers":
            return Decision(attributes.resource == "certificatesigningrequests")
        return Decision(
            attributes.cluster == "approving" and attributes.verb == "approve" and attributes.name == "a.example/*"
        )

    async def rules_for(self, *_: object) -> Rules:
        return Rules((), ())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    parts = Parts(authorizers=lambda environment: [*default_authorizers(environment), Approvers()])
    with RunningServer(tmp_path_factory.mktemp("server") / ".kcp", parts) as running:
        yield running


class Requests:
    """The requests of one logical cluster."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.cluster = f"c-{uuid.uuid4().hex[:10]}"
        self.path = f"/clusters/{self.cluster}{PATH}"

    def create(self, obj: Object, **more: Any) -> Answer:
        return self.server.post(self.path, obj, **more)

    def get(self, name: str = "a") -> Object:
        found = self.server.get(f"{self.path}/{name}").json
        assert isinstance(found, dict)
        return found

    def decide(self, type_: str = "Approved", name: str = "a", **more: Any) -> Answer:
        return self.server.ask("PUT", f"{self.path}/{name}/approval", decided(self.get(name), type_), **more)

    def issued(self, applicant: Applicant, **spec: Any) -> bytes:
        """Make a request, approve it, and return its certificate."""
        assert self.create(applicant.csr("a", **spec)).status == 201
        assert self.decide().status == 200
        return wait_until(lambda: certificate_of(self.get()), "the certificate")

    def failure(self, applicant: Applicant, **spec: Any) -> str:
        """Make and approve a request that cannot be signed; return why."""
        assert self.create(applicant.csr("a", **spec)).status == 201
        assert self.decide().status == 200
        wait_until(lambda: "Failed" in conditions_of(self.get()), "the failure")
        assert not certificate_of(self.get())
        return conditions_of(self.get())["Failed"]


@pytest.fixture
def requests(server: RunningServer) -> Requests:
    return Requests(server)


def authority_of(server: RunningServer) -> Path:
    return server.process.configuration.data_directory / "ca.crt"


def test_a_certificate_authenticates_in_its_logical_cluster_only(requests: Requests, tmp_path: Path) -> None:
    applicant = Applicant.of("joe", ["devs"])
    context = applicant.context(authority_of(requests.server), requests.issued(applicant), tmp_path)
    post = requests.server.post
    who = post(f"/clusters/{requests.cluster}{WHO}", REVIEW, token=None, context=context)
    assert who.status == 201
    assert who.json["status"]["userInfo"]["username"] == "joe"
    assert "devs" in who.json["status"]["userInfo"]["groups"]
    for other in ("/clusters/other", "", "/clusters/*"):
        assert post(f"{other}{WHO}", REVIEW, token=None, context=context).status == 401
    assert requests.server.get("/livez", token=None, context=context).status == 401, "it is not anonymous"
    with_token = post(f"/clusters/other{WHO}", REVIEW, token="jane-token", context=context)
    assert with_token.json["status"]["userInfo"]["username"] == "jane"


def test_what_is_in_a_certificate(requests: Requests) -> None:
    names = [x509.DNSName("kubernetes.default.svc"), x509.UniformResourceIdentifier("kcp:logical-cluster:root")]
    applicant = Applicant.of("joe", ["devs"], names, authority=True)
    before = dt.datetime.now(dt.UTC)
    issued = x509.load_pem_x509_certificate(requests.issued(applicant, expirationSeconds=3600))
    extension = issued.extensions.get_extension_for_class
    assert [*extension(x509.SubjectAlternativeName).value] == [
        x509.UniformResourceIdentifier(f"kcp:logical-cluster:{requests.cluster}")
    ]
    assert not extension(x509.BasicConstraints).value.ca
    assert [*extension(x509.ExtendedKeyUsage).value] == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.public_key() == applicant.key.public_key()
    assert dt.timedelta(minutes=59) < issued.not_valid_after_utc - before < dt.timedelta(minutes=61)
    assert issued.not_valid_before_utc < before


def test_a_certificate_is_valid_for_a_year_at_most(requests: Requests) -> None:
    issued = x509.load_pem_x509_certificate(requests.issued(Applicant.of("joe"), expirationSeconds=10**9))
    assert issued.not_valid_after_utc - issued.not_valid_before_utc == certificates.IDENTITY_LIFETIME


@pytest.mark.parametrize("group", ["system:masters", "system:monitoring"])
def test_a_group_with_rights_beyond_the_logical_cluster_is_refused(requests: Requests, group: str) -> None:
    answer = requests.create(Applicant.of("joe", ["devs", group]).csr("a"))
    assert answer.status == 403
    assert answer.json["message"] == (
        'certificatesigningrequests.certificates.k8s.io "a" is forbidden: use of '
        f"kubernetes.io/kube-apiserver-client signer with {group} group is not allowed"
    )


@pytest.mark.parametrize(
    ("usages", "why"),
    [
        (["client auth", "server auth"], "invalid usage for client certificate: server auth"),
        (["cert sign", "client auth"], "invalid usage for client certificate: cert sign"),
        (["digital signature"], "missing required usage for client certificate: client auth"),
    ],
)
def test_other_usages_than_those_of_clients_fail(requests: Requests, usages: list[str], why: str) -> None:
    assert requests.failure(Applicant.of("joe"), usages=usages) == why


@pytest.mark.parametrize(
    "signer", ["example.com/signer", "kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"]
)
def test_requests_of_other_signers_are_left_to_them(requests: Requests, signer: str) -> None:
    other = Requests(requests.server)
    assert requests.create(Applicant.of("joe").csr("a", signer=signer)).status == 201
    assert requests.decide().status == 200
    other.issued(Applicant.of("joe"))  # made later, signed earlier
    assert certificate_of(requests.get()) == b""
    assert set(conditions_of(requests.get())) == {"Approved"}


def test_a_denied_request_is_not_signed(requests: Requests) -> None:
    other = Requests(requests.server)
    assert requests.create(Applicant.of("joe").csr("a")).status == 201
    assert requests.decide("Denied").status == 200
    other.issued(Applicant.of("joe"))
    assert certificate_of(requests.get()) == b""


def test_the_requesting_user_is_recorded_whatever_is_sent(requests: Requests) -> None:
    sent = Applicant.of("joe").csr("a", username="root", groups=["system:masters"])
    spec = requests.create(sent, token="jane-token").json["spec"]
    assert (spec["username"], spec["uid"]) == ("jane", "u-jane")
    assert spec["groups"] == ["devs", "system:authenticated"]


def test_approving_needs_the_verb_approve_on_the_signer(server: RunningServer) -> None:
    requests = Requests(server)
    requests.path = f"/clusters/approving{PATH}"
    for name, signer in (("a", "a.example/signer"), ("b", "b.example/signer")):
        assert requests.create(Applicant.of("joe").csr(name, signer=signer)).status == 201
    assert requests.decide(name="a", token="jane-token").status == 200
    refused = requests.decide(name="b", token="jane-token")
    assert refused.status == 403
    assert refused.json["message"] == (
        'certificatesigningrequests.certificates.k8s.io "b" is forbidden: '
        'user not permitted to approve requests with signerName "b.example/signer"'
    )
    elsewhere = Requests(server)
    assert elsewhere.create(Applicant.of("joe").csr("a", signer="a.example/signer")).status == 201
    assert elsewhere.decide(token="jane-token").status == 403


def test_signing_needs_the_verb_sign_on_the_signer(requests: Requests) -> None:
    assert requests.create(Applicant.of("joe").csr("a", signer="a.example/signer")).status == 201
    assert requests.decide().status == 200
    signed = requests.get()
    signed["status"]["certificate"] = certificates_text()
    path = f"{requests.path}/a/status"
    refused = requests.server.ask("PUT", path, signed, token="jane-token")
    assert refused.status == 403
    assert 'user not permitted to sign requests with signerName "a.example/signer"' in refused.json["message"]
    assert requests.server.ask("PUT", path, requests.get(), token="jane-token").status == 200, "nothing is signed"
    assert requests.server.ask("PUT", path, signed).status == 200
    assert certificate_of(requests.get())


def certificates_text() -> str:
    return base64.b64encode(certificates.new_authority("other").certificate).decode()


def test_without_the_key_of_the_authority_a_request_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RunningServer(tmp_path / ".kcp") as server:
        requests = Requests(server)
        key = authority_of(server).with_name("ca.key")
        key.rename(tmp_path / "away.key")
        assert requests.create(Applicant.of("joe").csr("a")).status == 201
        assert requests.decide().status == 200
        wait_until(lambda: "cannot be signed" in caplog.text, "the log line")
        (tmp_path / "away.key").rename(key)
        wait_until(lambda: certificate_of(requests.get()), "the certificate")
        assert caplog.text.count("cannot be signed") == 1
