"""The keys of tokens: published, rotated with an overlap, given by files."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kcp.auth.service_accounts import keys
from kcp.auth.service_accounts.keys import KeyFormatError
from kcp.server.process.configuration import Configuration
from kcp.server.process.errors import ConfigurationError
from kcp.server.process.service_account_options import ServiceAccountOptions
from tests.service_accounts.conftest import API_AUDIENCE, Tenant, new_tenant
from tests.service_accounts.signing import parts
from tests.support.kcp_process import run
from tests.support.kubectl import CURRENT, Kubectl
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until


@pytest.fixture
def own_tenant(tmp_path: Path) -> Iterator[Tenant]:
    """A logical cluster of a server that no other test uses."""
    with RunningServer(tmp_path / ".kcp") as server:
        tenant = new_tenant(server)
        tenant.create("serviceaccounts", "bob")
        yield tenant


def kcp_keys(tenant: Tenant, *arguments: str) -> list[list[str]]:
    """The words of the lines that ``kcp service-account-keys`` prints."""
    done = run("service-account-keys", *arguments, "--kubeconfig", str(tenant.server.process.kubeconfig))
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def test_a_mistake_in_a_kubeconfig_is_reported_at_once_with_the_server(own_tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(own_tenant.server.process.kubeconfig.read_text())
    url = own_tenant.server.process.url
    kubectl = Kubectl(CURRENT, file, tmp_path)

    def error() -> str:
        done = run("service-account-keys", "list", "--kubeconfig", str(file))
        assert (done.returncode, done.stdout) == (2, "")
        return done.stderr

    kubectl("config", "set-credentials", "admin", f"--token={own_tenant.token('bob')}")
    kubectl("config", "set-cluster", "root", f"--server={url}{own_tenant.prefix}")
    user = 'User "system:serviceaccount:default:bob"'
    assert error() == f'Error: {url}{own_tenant.prefix}: forbidden: {user} cannot get path "/service-account-keys"\n'
    kubectl("config", "set-credentials", "admin", "--token=unknown")
    assert error() == f"Error: {url}{own_tenant.prefix}: Unauthorized: check the credentials of the kubeconfig's user\n"
    kubectl("config", "set-cluster", "root", "--server=https://127.0.0.1:1")
    assert error() == "Error: GET /version: cannot connect to 127.0.0.1:1: Connection refused\n"


def key_id(token: str) -> str:
    found: str = parts(token)[0]["kid"]
    return found


def test_the_published_keys_verify_tokens(tenant: Tenant) -> None:
    import jwt

    document = tenant.server.get("/.well-known/openid-configuration")
    assert document.json["issuer"] == API_AUDIENCE
    assert document.json["id_token_signing_alg_values_supported"] == ["ES256"]
    path = document.json["jwks_uri"].partition(str(tenant.server.port))[2]
    answer = tenant.server.get(path)
    assert answer.type == "application/jwk-set+json"
    tenant.create("serviceaccounts", "bob")
    token = tenant.token("bob")
    key = jwt.PyJWKSet.from_dict(answer.json)[key_id(token)]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience=API_AUDIENCE, issuer=API_AUDIENCE)
    assert claims["sub"] == "system:serviceaccount:default:bob"


def test_a_rotated_key_signs_at_once_and_the_old_one_ends_after_the_overlap(own_tenant: Tenant) -> None:
    before = own_tenant.token("bob")
    assert [line[2] for line in kcp_keys(own_tenant, "list")] == ["signs"]
    rotated = kcp_keys(own_tenant, "rotate", "--overlap", "1h")
    assert [line[2] for line in rotated] == ["signs", "until"]
    after = own_tenant.token("bob")
    assert [key_id(after), key_id(before)] == [line[0] for line in rotated]
    assert own_tenant.who(before).status == own_tenant.who(after).status == 201
    published = own_tenant.server.get("/openid/v1/jwks").json["keys"]
    assert [key["kid"] for key in published] == [key_id(after), key_id(before)]
    kcp_keys(own_tenant, "rotate", "--overlap", "0s")
    assert own_tenant.who(before).status == own_tenant.who(after).status == 401
    assert own_tenant.who(own_tenant.token("bob")).status == 201
    assert len(own_tenant.server.get("/openid/v1/jwks").json["keys"]) == 1


def test_a_restarted_server_accepts_the_tokens_of_before(tmp_path: Path) -> None:
    with RunningServer(tmp_path / ".kcp") as server:
        tenant = new_tenant(server)
        tenant.create("serviceaccounts", "bob")
        token = tenant.token("bob")
        kcp_keys(tenant, "rotate")
        newer = tenant.token("bob")
    with RunningServer(tmp_path / ".kcp") as server:
        again = Tenant(server, tenant.name)
        assert again.who(token).status == again.who(newer).status == 201
        assert key_id(again.token("bob")) == key_id(newer)


def test_a_token_secret_is_signed_again_when_its_key_ends(own_tenant: Tenant) -> None:
    annotations = {"kubernetes.io/service-account.name": "bob"}
    own_tenant.create("secrets", "long", annotations=annotations, type="kubernetes.io/service-account-token")

    def token() -> str:
        secret: Any = own_tenant.server.get(own_tenant.path("secrets", "long")).json
        return base64.b64decode((secret.get("data") or {}).get("token", "")).decode()

    first = wait_until(token, "the secret has a token")
    kcp_keys(own_tenant, "rotate", "--overlap", "1h")
    assert own_tenant.who(first).status == 201
    kcp_keys(own_tenant, "rotate", "--overlap", "0s")
    assert own_tenant.who(first).status == 401
    second = wait_until(lambda: token() if token() != first else "", "the token is signed again")
    assert own_tenant.who(second).status == 201


def test_only_administrators_of_the_server_may_rotate(own_tenant: Tenant) -> None:
    token = own_tenant.token("bob")
    server = own_tenant.server
    for path in ("/service-account-keys", f"{own_tenant.prefix}/service-account-keys"):
        for method in ("GET", "POST"):
            assert server.ask(method, path, token="jane-token").status == 403
            assert server.ask(method, path, token=token).status in (401, 403)
    assert server.ask("POST", f"{own_tenant.prefix}/service-account-keys").status == 403
    assert server.ask("POST", "/service-account-keys?overlapSeconds=-1").status == 400
    assert server.ask("DELETE", "/service-account-keys").status == 405
    assert [line[2] for line in kcp_keys(own_tenant, "list")] == ["signs"]
    assert "PRIVATE" not in server.get("/service-account-keys").body.decode()


def openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True).stdout


@pytest.fixture(scope="session")
def rsa_key() -> bytes:
    """A private RSA key as openssl makes it."""
    return openssl("genrsa", "2048")


def test_keys_of_files_replace_those_of_the_log(tmp_path: Path, rsa_key: bytes) -> None:
    signing, older = tmp_path / "signing.key", tmp_path / "older.pub"
    other = keys.read_signing_key(keys.generate())
    signing.write_bytes(rsa_key)
    older.write_bytes(keys.public_pem(other))
    with RunningServer(tmp_path / ".kcp") as server:
        tenant = new_tenant(server)
        tenant.create("serviceaccounts", "bob")
        of_log = tenant.token("bob")
    options = ServiceAccountOptions(signing_key_file=signing, key_files=(older,))
    with RunningServer(tmp_path / ".kcp", service_accounts=options) as server:
        again = Tenant(server, tenant.name)
        token = again.token("bob")
        assert parts(token)[0]["alg"] == "RS256"
        assert again.who(token).status == 201
        assert again.who(of_log).status == 401
        assert {key["kid"] for key in server.get("/openid/v1/jwks").json["keys"]} == {key_id(token), other.id}
        refused = server.ask("POST", "/service-account-keys")
        assert (refused.status, "--service-account-signing-key-file" in refused.json["message"]) == (409, True)

        signing.write_bytes(keys.generate())
        server.call(server.process.files.reload)
        assert again.who(token).status == 401, "the file of the key was replaced"
        older.write_bytes(rsa_key)
        server.call(server.process.files.reload)
        assert again.who(token).status == 201, "the old key is accepted again"
        older.write_bytes(b"broken")
        server.call(server.process.files.reload)
        assert again.who(token).status == 201, "a file that cannot be read changes nothing"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no unencrypted private key"),
        (b"-----BEGIN X-----\nAAAA\n-----END X-----\n", "no unencrypted private key"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "signing.key"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=f"--service-account-signing-key-file: .*{words}"):
        RunningServer(tmp_path / ".kcp", service_accounts=ServiceAccountOptions(signing_key_file=path))
    with pytest.raises(ConfigurationError, match="--service-account-key-file: cannot read"):
        RunningServer(tmp_path / ".kcp", service_accounts=ServiceAccountOptions(key_files=(tmp_path / "missing",)))


def test_pem_files_of_all_forms_are_read(rsa_key: bytes) -> None:
    curve = openssl("ecparam", "-name", "secp384r1", "-genkey")  # with EC PARAMETERS before the key
    found = keys.read_verifying_keys(b"some text\n" + rsa_key + curve + keys.public_pem(keys.read_signing_key(rsa_key)))
    assert [key.algorithm for key in found] == ["RS256", "ES384", "RS256"]
    assert found[0].id == found[2].id
    for weak in (
        openssl("genrsa", "1024"),
        openssl("ecparam", "-name", "secp256k1", "-genkey"),
        openssl("genpkey", "-algorithm", "ed25519"),
    ):
        with pytest.raises(KeyFormatError):
            keys.read_verifying_keys(weak)


def test_several_issuers_and_audiences(tmp_path: Path) -> None:
    first = ServiceAccountOptions(issuers=("https://old.example.com",))
    with RunningServer(tmp_path / ".kcp", service_accounts=first) as server:
        tenant = new_tenant(server)
        tenant.create("serviceaccounts", "bob")
        old = tenant.token("bob")
        assert parts(old)[1]["aud"] == ["https://old.example.com"]
    both = ServiceAccountOptions(
        issuers=("https://new.example.com", "https://old.example.com"),
        api_audiences=("api", "https://old.example.com"),
        jwks_uri="https://keys.example.com/jwks",
        max_token_expiration=7200.0,
    )
    with RunningServer(tmp_path / ".kcp", service_accounts=both) as server:
        again = Tenant(server, tenant.name)
        assert again.who(old).status == 201
        answer = again.request_token("bob", expirationSeconds=86_400)
        assert answer.json["spec"] == {"audiences": ["api", "https://old.example.com"], "expirationSeconds": 7200}
        assert "requested expiration of 86400 seconds shortened to 7200 seconds" in answer.headers["Warning"]
        claims = parts(answer.json["status"]["token"])[1]
        assert (claims["iss"], claims["exp"] - claims["iat"]) == ("https://new.example.com", 7200)
        assert abs(claims["iat"] - time.time()) < 600
        document = server.get("/.well-known/openid-configuration").json
        assert (document["issuer"], document["jwks_uri"]) == (
            "https://new.example.com",
            "https://keys.example.com/jwks",
        )


def test_an_issuer_that_is_no_https_url_has_no_discovery(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ServiceAccountOptions(issuers=("issuer", "https://other.example.com"))
    with RunningServer(tmp_path / ".kcp", service_accounts=options) as server:
        for path in ("/.well-known/openid-configuration", "/openid/v1/jwks"):
            assert server.get(path).status == 404
        tenant = new_tenant(server)
        tenant.create("serviceaccounts", "bob")
        assert tenant.who(tenant.token("bob")).status == 201
    assert '--service-account-issuer: "issuer" is no https URL' in caplog.text


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"issuers": ("",)}, "--service-account-issuer"),
        ({"issuers": ("https://",)}, "--service-account-issuer"),
        ({"jwks_uri": "http://example.com"}, "--service-account-jwks-uri"),
        ({"max_token_expiration": 60.0}, "--service-account-max-token-expiration"),
    ],
)
def test_flags_that_cannot_be_used_are_named(choices: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Configuration(service_accounts=ServiceAccountOptions(**choices)).check()
