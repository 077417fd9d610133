"""CertificateSigningRequests and APIServices."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kcp.auth.users import User
from tests.builtin.conftest import Types
from tests.support.registry_client import RegistryClient, refused

GROUP = "certificates.k8s.io"
NAMED = {"apiVersion": f"{GROUP}/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "a"}}


@pytest.fixture(scope="module")
def pkcs10() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return base64.b64encode(signed.public_bytes(serialization.Encoding.PEM)).decode()


def csr(pkcs10: str, **changes: Any) -> dict[str, Any]:
    return {"spec": {"request": pkcs10, "signerName": "example.com/signer", "usages": ["client auth"], **changes}}


def body(pkcs10: str) -> dict[str, Any]:
    return {**NAMED, **csr(pkcs10)}


def test_the_server_records_the_requesting_user(types: Types, pkcs10: str) -> None:
    user = User("jane", "7", ("devs",), {"scope": ("a",)})
    asked = csr(pkcs10, username="root", groups=["system:masters"])
    spec = types.create(types("certificatesigningrequests", GROUP), asked, user)["spec"]
    assert (spec["username"], spec["uid"], spec["groups"], spec["extra"]) == ("jane", "7", ["devs"], {"scope": ["a"]})


def test_a_valid_request_is_accepted(types: Types, pkcs10: str) -> None:
    assert types.errors(types("certificatesigningrequests", GROUP), csr(pkcs10)) == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"request": "eA=="}, 'spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST'),
        ({"usages": []}, "spec.usages: Required value: usages must be provided"),
        ({"usages": ["any", "any"]}, 'spec.usages[1]: Duplicate value: "any"'),
        (
            {"signerName": "signer"},
            (
                'spec.signerName: Invalid value: "signer": must be a fully qualified domain and path of the form '
                "'example.com/signer-name'"
            ),
        ),
        (
            {"signerName": "kubernetes.io/legacy-unknown"},
            (
                'spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this '
                "API version"
            ),
        ),
        (
            {"expirationSeconds": 60},
            "spec.expirationSeconds: Invalid value: 60: may not specify a duration less than 600 seconds (10 minutes)",
        ),
    ],
)
def test_invalid_requests_are_refused(types: Types, pkcs10: str, changes: dict[str, Any], error: str) -> None:
    assert types.errors(types("certificatesigningrequests", GROUP), csr(pkcs10, **changes)) == [error]


def test_an_unknown_usage_is_refused(types: Types, pkcs10: str) -> None:
    (error,) = types.errors(types("certificatesigningrequests", GROUP), csr(pkcs10, usages=["fun"]))
    assert error.startswith('spec.usages[0]: Unsupported value: "fun": supported values: "any", "cert sign"')


def test_the_spec_of_a_request_is_immutable(types: Types, pkcs10: str) -> None:
    type_ = types("certificatesigningrequests", GROUP)
    old = types.create(type_, csr(pkcs10))
    assert types.update(type_, csr(pkcs10, signerName="example.com/other"), old)["spec"] == old["spec"]


def test_approval_is_a_subresource_of_its_own(types: Types, pkcs10: str) -> None:
    type_ = types("certificatesigningrequests", GROUP)
    strategy = type_.strategy
    old = types.create(type_, csr(pkcs10))
    decided = {**old, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    errors = [str(error) for error in strategy.validate_status(decided, old)]
    assert errors == ['status.conditions: Forbidden: updates may not add a condition of type "Approved"']
    approved = strategy.subresource_updates["approval"](decided, old)
    assert strategy.subresource_validations["approval"](approved, old) == []
    assert approved["status"]["conditions"][0]["lastTransitionTime"]
    assert strategy.cells(approved)[-1] == "Approved"  # type: ignore[index]
    withdrawn = strategy.subresource_validations["approval"]({**old, "status": {}}, approved)
    assert [str(error) for error in withdrawn] == [
        'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'
    ]


def test_an_approval_that_is_attempted_again_keeps_nothing_of_the_first_attempt(types: Types, pkcs10: str) -> None:
    type_ = types("certificatesigningrequests", GROUP)
    approve = type_.strategy.subresource_updates["approval"]
    old = types.create(type_, csr(pkcs10))
    sent = {**old, "status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    approve(sent, old)
    assert sent["status"]["conditions"] == [{"type": "Approved", "status": "True"}]
    earlier = {"type": "Approved", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    again = approve(sent, {**old, "status": {"conditions": [earlier]}})
    assert again["status"]["conditions"][0]["lastTransitionTime"] == "2020-01-01T00:00:00Z"


def test_a_request_is_not_both_approved_and_denied(types: Types, pkcs10: str) -> None:
    type_ = types("certificatesigningrequests", GROUP)
    conditions = [{"type": "Approved", "status": "True"}, {"type": "Denied", "status": "False"}]
    obj = {**types.create(type_, csr(pkcs10)), "status": {"conditions": conditions}}
    assert [str(error) for error in type_.strategy.validate(obj)] == [
        'status.conditions[1].status: Unsupported value: "False": supported values: "True"',
        'status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive',
    ]


def test_a_row_has_signer_requestor_and_duration(types: Types, pkcs10: str) -> None:
    type_ = types("certificatesigningrequests", GROUP)
    obj = types.create(type_, csr(pkcs10, expirationSeconds=86400))
    assert type_.strategy.cells(obj) == ["0s", "example.com/signer", "admin", "24h", "Pending"]


def api_service(**changes: Any) -> dict[str, Any]:
    spec = {"group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10, **changes}
    return {"metadata": {"name": "v1.example.com"}, "spec": spec}


def test_an_api_service_is_named_after_what_it_registers(types: Types) -> None:
    type_ = types("apiservices", "apiregistration.k8s.io")
    assert types.errors(type_, api_service()) == []
    assert types.errors(type_, api_service(version="v2")) == [
        'metadata.name: Invalid value: "v1.example.com": must be `spec.version+"."+spec.group`: "v2.example.com"'
    ]


def test_priorities_and_local_services_are_checked(types: Types) -> None:
    type_ = types("apiservices", "apiregistration.k8s.io")
    assert types.errors(type_, api_service(versionPriority=0, insecureSkipTLSVerify=True)) == [
        "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
        "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
    ]


def test_a_local_api_service_is_available(types: Types) -> None:
    type_ = types("apiservices", "apiregistration.k8s.io")
    assert type_.strategy.cells(types.create(type_, api_service())) == ["Local", "True", "0s"]
    remote = types.create(type_, api_service(service={"namespace": "a", "name": "b"}))
    assert type_.strategy.cells(remote) == ["a/b", "Unknown", "0s"]
    assert remote["spec"]["service"]["port"] == 443


async def test_nobody_owns_the_request_for_a_certificate(client: RegistryClient, pkcs10: str) -> None:
    requests = client.type("certificatesigningrequests", GROUP)
    await client.create(requests, {**NAMED, **csr(pkcs10, username="somebody")}, "")
    applied = await client.apply(requests, {**NAMED, **csr(pkcs10, username="another")})
    assert "managedFields" not in applied["metadata"]
    labelled = {**body(pkcs10), "metadata": {"name": "a", "labels": {"x": "y"}}}
    (entry,) = (await client.apply(requests, labelled))["metadata"]["managedFields"]
    assert entry["fieldsV1"] == {"f:metadata": {"f:labels": {"f:x": {}}}}


async def test_a_status_gets_the_times_of_its_conditions_and_may_bring_labels(
    client: RegistryClient, pkcs10: str
) -> None:
    requests = client.type("certificatesigningrequests", GROUP)
    await client.create(requests, body(pkcs10))
    change: dict[str, Any] = {
        "metadata": {"labels": {"a": "b"}},
        "status": {"conditions": [{"type": "Slow", "status": "True"}]},
    }
    changed = await client.patch(requests, "a", change, subresource="status")
    assert changed["metadata"]["labels"] == {"a": "b"}
    (condition,) = changed["status"]["conditions"]
    assert condition["lastUpdateTime"]
    assert condition["lastTransitionTime"] == condition["lastUpdateTime"]


@pytest.mark.parametrize("subresource", ["status", "approval"])
@pytest.mark.parametrize(("type_", "kind"), [({"a": "b"}, "object"), (["a"], "array")])
async def test_a_condition_whose_type_is_no_string_does_not_decode(
    client: RegistryClient, pkcs10: str, type_: Any, kind: str, subresource: str
) -> None:
    requests = client.type("certificatesigningrequests", GROUP)
    created = await client.create(requests, body(pkcs10))
    created["status"] = {"conditions": [{"type": type_, "status": "True"}]}
    with refused(400, "BadRequest") as caught:
        await client.update(requests, created, subresource=subresource)
    field = "CertificateSigningRequest.status.conditions[0].type"
    assert f"cannot unmarshal {kind} into Go struct field {field}" in caught.value.message


async def test_a_certificate_that_is_no_pem_is_named_without_its_content(client: RegistryClient, pkcs10: str) -> None:
    requests = client.type("certificatesigningrequests", GROUP)
    await client.create(requests, body(pkcs10))
    with refused(422, "Invalid") as caught:
        await client.patch(requests, "a", {"status": {"certificate": "eA=="}}, subresource="status")
    (cause,) = caught.value.details["causes"]
    assert cause["message"] == 'Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block'


async def test_the_first_apply_takes_a_status_that_was_always_empty_for_nobodys(
    client: RegistryClient, pkcs10: str
) -> None:
    requests = client.type("certificatesigningrequests", GROUP)
    await client.create(requests, body(pkcs10))
    approved: dict[str, Any] = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    await client.patch(requests, "a", approved, subresource="approval")
    applied = await client.apply(requests, {**NAMED, **approved}, subresource="approval")
    (before,) = [each for each in applied["metadata"]["managedFields"] if each["manager"] == "before-first-apply"]
    assert list(before["fieldsV1"]["f:status"]) == ["f:conditions"]
