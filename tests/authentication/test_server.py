"""A server with a real issuer, a real webhook and a front proxy: the order of authenticators, reloading, anonymous requests."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kcp.auth.authentication.front_proxy import FrontProxyOptions
from kcp.auth.certificates import KeyPair, new_authority, new_client_identity
from kcp.server.process.authentication_options import AuthenticationOptions, OIDCOptions
from kcp.server.process.errors import ConfigurationError
from tests.authentication.test_token_reviews import JANE, Webhook
from tests.support.oidc_issuer import AUDIENCE, Issuer, configuration_file
from tests.support.running_server import Answer, RunningServer
from tests.support.waiting import PATIENCE, wait_until

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"
ANONYMOUS = {"enabled": True, "conditions": [{"path": "/livez"}, {"path": "/readyz"}]}


@dataclass
class Setting:
    """A running server and what it trusts."""

    server: RunningServer
    issuer: Issuer
    webhook: Webhook
    proxies: KeyPair
    clients: KeyPair
    file: Path
    folder: Path

    def write(self, *authenticators: dict[str, Any], **fields: Any) -> None:
        """Write the configuration file and have it reloaded."""
        self.file.write_text(json.dumps(configuration_file(*authenticators, **fields)))
        self.server.call(self.server.process.files.reload)

    def whoami(self, token: str | None = None, pair: KeyPair | None = None, **headers: str) -> Answer:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        context = None if pair is None else self.tls(pair)
        return self.server.post(WHOAMI, body, token=token, context=context, **headers)

    def user(self, token: str | None = None, pair: KeyPair | None = None, **headers: str) -> dict[str, Any]:
        answer = self.whoami(token, pair, **headers)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json["status"]["userInfo"]
        return found

    def tls(self, pair: KeyPair) -> ssl.SSLContext:
        path = self.folder / "pair.pem"
        path.write_bytes(pair.certificate + pair.key)
        made = ssl.create_default_context(cafile=str(self.folder / "server" / "data" / "ca.crt"))
        made.load_cert_chain(path)
        return made


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    folder = tmp_path_factory.mktemp("authentication")
    issuer, webhook = Issuer(folder / "issuer"), Webhook(folder / "webhook")
    proxies, clients = new_authority("front proxies"), new_authority("clients")
    (folder / "proxies.crt").write_bytes(proxies.certificate)
    (folder / "clients.crt").write_bytes(clients.certificate)
    file = folder / "authentication.yaml"
    with issuer.server, webhook.server:
        file.write_text(json.dumps(configuration_file(issuer.configuration(), anonymous=ANONYMOUS)))
        options = AuthenticationOptions(
            config_file=file,
            webhook_config_file=webhook.server.kubeconfig("webhook.kubeconfig"),
            webhook_version="v1",
            front_proxy_ca_file=folder / "proxies.crt",
            front_proxy=FrontProxyOptions(
                ("front-proxy",), ("X-Remote-User",), ("X-Remote-Uid",), ("X-Remote-Group",), ("X-Remote-Extra-",)
            ),
        )
        server = RunningServer(
            folder / "server", authentication=options, client_ca_file=folder / "clients.crt", log_requests=True
        )
        with server:
            yield Setting(server, issuer, webhook, proxies, clients, file, folder)


@pytest.fixture(autouse=True)
def _as_configured(setting: Setting) -> None:
    setting.write(setting.issuer.configuration(), anonymous=ANONYMOUS)
    setting.webhook.users = {"reviewed": JANE}


def proxy(setting: Setting) -> KeyPair:
    return new_client_identity(setting.proxies, "front-proxy", ())


def test_each_kind_of_credential_is_accepted(setting: Setting) -> None:
    assert setting.user(setting.issuer.token())["username"] == "jane"
    assert setting.user("reviewed")["groups"] == ["devs", "system:authenticated"]
    assert setting.user("jane-token")["uid"] == "u-jane"
    assert setting.user(pair=new_client_identity(setting.clients, "kim", ("ops",)))["groups"] == [
        "ops",
        "system:authenticated",
    ]
    named = setting.user(pair=proxy(setting), X_Remote_User="lee", X_Remote_Group="qa", X_Remote_Uid="u9")
    assert (named["username"], named["uid"], named["groups"]) == ("lee", "u9", ["qa", "system:authenticated"])


def service_account_token(setting: Setting) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = setting.server.post("/api/v1/namespaces/default/serviceaccounts/default/token", body)
    assert answer.status == 201, answer.body
    token: str = answer.json["status"]["token"]
    return token


def test_a_service_account_token_is_the_servers_own_business(setting: Setting) -> None:
    token = service_account_token(setting)
    assert setting.user(token)["username"] == "system:serviceaccount:default:default"
    assert token not in [body["spec"]["token"] for body in setting.webhook.bodies]


def test_no_other_issuer_may_speak_for_service_accounts(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    own = "https://kubernetes.default.svc.cluster.local"
    setting.write(setting.issuer.configuration(issuer={"url": own}))
    assert f"URL must not overlap with disallowed issuers: [{own}]" in caplog.text


def test_the_front_proxy_comes_before_certificates_and_certificates_before_tokens(setting: Setting) -> None:
    pair = new_client_identity(setting.clients, "kim", ())
    assert setting.user("jane-token", pair, X_Remote_User="lee")["username"] == "kim"
    assert setting.user("jane-token", proxy(setting), X_Remote_User="lee")["username"] == "lee"
    assert setting.user("jane-token", proxy(setting))["username"] == "jane", "its token counts without a user header"


@pytest.mark.parametrize("headers", [{}, {"X_Remote_User": "admin", "X_Remote_Group": "system:masters"}])
def test_headers_without_the_proxys_certificate_have_no_meaning(setting: Setting, headers: dict[str, str]) -> None:
    assert setting.whoami(None, None, **headers).status == 401
    other_proxy = new_client_identity(setting.proxies, "another", ())
    assert setting.whoami(None, other_proxy, **headers).status == 401
    assert setting.user("jane-token", other_proxy, **headers)["username"] == "jane"
    client = new_client_identity(setting.clients, "front-proxy", ())
    assert setting.user(pair=client, **headers)["username"] == "front-proxy"


def test_a_proxys_certificate_is_no_clients(setting: Setting) -> None:
    masters = new_client_identity(setting.proxies, "front-proxy", ("system:masters",))
    assert setting.whoami(None, masters).status == 401


@pytest.mark.parametrize("token", ["wrong", "a.b.c", "", "ey.ey.ey", "reviewed2"])
def test_a_bad_credential_is_401_and_never_anonymous(setting: Setting, token: str) -> None:
    assert setting.server.get("/livez", token=None).status == 200
    answer = setting.server.get("/livez", token=None, Authorization=f"Bearer {token}x")
    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")


def test_only_the_paths_of_the_conditions_are_anonymous(setting: Setting) -> None:
    assert setting.server.get("/readyz", token=None).status == 200
    assert setting.server.get("/clusters/other/livez", token=None).status == 200
    for path in ("/version", "/livez/ping", "/livez/", "/api", "/readyz/verbose"):
        assert setting.server.get(path, token=None).status == 401, path
    setting.write(setting.issuer.configuration())
    assert setting.server.get("/version", token=None).status == 200
    setting.write(setting.issuer.configuration(), anonymous={"enabled": False})
    assert setting.server.get("/livez", token=None).status == 401


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/%6civez", 200),
        ("/livez%2f", 400),
        ("/livez%00", 400),
        ("//livez", 400),
        ("/livez/../version", 400),
        ("/livez/%2e%2e/version", 400),
        ("/LIVEZ", 401),
        ("/livez;/version", 401),
        ("/api/v1/namespaces/livez", 401),
    ],
)
def test_class_4_no_spelling_of_a_path_is_anonymous_that_is_not_the_path(
    setting: Setting, path: str, status: int
) -> None:
    assert setting.server.get(path, token=None).status == status


def test_no_log_shows_a_credential_or_whom_a_request_impersonates(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    genuine = setting.issuer.token()
    setting.webhook.users = {"webhook-secret": JANE}
    headers = {
        "Impersonate_User": "impersonated-secret",
        "Impersonate_Group": "group-secret",
        "Impersonate_Extra_Acme.com%2fx": "extra-secret",
    }
    with caplog.at_level(logging.DEBUG):
        for token in (genuine, "webhook-secret", "wrong-secret", setting.issuer.token(aud="elsewhere"), genuine[:-3]):
            setting.server.get("/api", token=token)
        setting.server.get("/api", token="jane-token", **headers)
        setting.server.get("/api", Impersonate_Group="group-secret")
        pair = proxy(setting)
        setting.whoami(None, pair, X_Remote_User="\u00ffremote-secret", X_Remote_Extra_A="extra-secret")
    shown = "".join(
        f"{record.getMessage()}{vars(record)}" for record in caplog.records if record.name.startswith("kcp")
    )
    assert '"/api"' in shown or "'/api'" in shown
    assert "-secret" not in shown
    assert genuine.split(".")[1] not in shown
    assert genuine.split(".")[2] not in shown


def test_a_changed_file_is_in_force_and_a_broken_one_keeps_the_old(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.write(setting.issuer.configuration(claimMappings={"username": {"claim": "sub", "prefix": "p:"}}))
    assert setting.user(setting.issuer.token())["username"] == "p:jane"
    setting.file.write_text("kind: nonsense")
    setting.server.call(setting.server.process.files.reload)
    assert "the previous content stays in force" in caplog.text
    assert setting.user(setting.issuer.token())["username"] == "p:jane"
    setting.write(setting.issuer.configuration(issuer={"audiences": []}))
    assert "jwt[0].issuer.audiences: Required value" in caplog.text
    assert setting.user(setting.issuer.token())["username"] == "p:jane"
    setting.write()
    assert setting.whoami(setting.issuer.token()).status == 401


def test_token_reviews_answer_for_every_kind_of_token(setting: Setting) -> None:
    def status(token: str, **spec: Any) -> dict[str, Any]:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, **spec},
        }
        answer = setting.server.post(REVIEW, body)
        assert answer.status == 201, answer.body
        found: dict[str, Any] = answer.json["status"]
        return found

    account = "system:serviceaccount:default:default"
    for token, name in (
        (setting.issuer.token(), "jane"),
        ("reviewed", "jane"),
        ("jane-token", "jane"),
        (service_account_token(setting), account),
    ):
        assert status(token)["user"]["username"] == name
        assert status(token)["authenticated"] is True
    assert status("wrong") == {"user": {}, "error": "no such session"}
    assert "authenticated" not in status(setting.issuer.token(aud="elsewhere"))
    setting.webhook.audiences = ["vault"]
    assert status("for-vault", audiences=["vault"]).get("authenticated") is None
    setting.webhook.users["for-vault-2"] = JANE
    assert status("for-vault-2", audiences=["vault"])["audiences"] == ["vault"]
    setting.webhook.audiences = None


def test_new_authorities_of_the_front_proxy_are_taken_up(setting: Setting) -> None:
    new = new_authority("new front proxies")
    pair = new_client_identity(new, "front-proxy", ())
    old = proxy(setting)
    file = setting.folder / "proxies.crt"
    before = file.read_bytes()
    file.write_bytes(new.certificate)
    setting.server.call(setting.server.process.files.reload)

    def accepted() -> bool:
        try:
            return setting.whoami(None, pair, X_Remote_User="lee").status == 201
        except (OSError, ssl.SSLError):
            return False

    wait_until(accepted, "the certificate of the new authority is accepted")
    assert setting.whoami(None, old, X_Remote_User="lee").status == 401
    file.write_bytes(before)
    setting.server.call(setting.server.process.files.reload)
    wait_until(lambda: setting.whoami(None, old, X_Remote_User="lee").status == 201, "the old one is accepted again")


def start(folder: Path, **options: Any) -> None:
    with RunningServer(folder / "server", authentication=AuthenticationOptions(**options)):
        pass


def test_a_server_does_not_start_with_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "authentication.yaml"
    for content, words in (
        (None, "--authentication-config: cannot read"),
        ("a: 1", "must have kind AuthenticationConfiguration"),
    ):
        if content is not None:
            file.write_text(content)
        with pytest.raises(ConfigurationError, match=words):
            start(tmp_path, config_file=file)
    with pytest.raises(ConfigurationError, match=r"--authentication-token-webhook-config-file: .* no such kubeconfig"):
        start(tmp_path, webhook_config_file=file.with_name("absent"))
    with pytest.raises(ConfigurationError, match=r"--requestheader-client-ca-file: .* holds no PEM certificates"):
        start(tmp_path, front_proxy_ca_file=file, front_proxy=FrontProxyOptions(username_headers=("X-Remote-User",)))
    with pytest.raises(ConfigurationError, match="exclude each other"):
        start(tmp_path, config_file=file, oidc=OIDCOptions("https://a.example", "kcp"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (OIDCOptions("https://a.example"), "must be given together"),
        (OIDCOptions(client_id="kcp"), "must be given together"),
        (OIDCOptions(groups_claim="groups"), "must be given together"),
        (OIDCOptions("http://a.example", "kcp"), "URL scheme must be https"),
        (OIDCOptions("https://a.example", "kcp", required_claims=("a",)), 'required-claim: "a" is not key=value'),
        (OIDCOptions("https://a.example", "kcp", signing_algs=("HS256",)), 'signing-algs: "HS256" is not one of RS256'),
        (
            OIDCOptions("https://a.example", "kcp", ca_file=Path("/absent")),
            "^--oidc-ca-file: cannot read /absent: No such file or directory$",
        ),
    ],
)
def test_flags_of_an_issuer_that_cannot_be_used_are_named(tmp_path: Path, options: OIDCOptions, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        start(tmp_path, oidc=options)


def test_the_flags_of_one_issuer_do_what_they_did_before_there_was_a_file(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "issuer")
    with issuer.server:
        options = OIDCOptions(
            issuer.url,
            AUDIENCE,
            groups_claim="groups",
            groups_prefix="g:",
            ca_file=issuer.server.ca_file,
            required_claims=("hd=example.com",),
            signing_algs=("ES256", "RS256"),
        )
        authentication = AuthenticationOptions(oidc=options)
        with RunningServer(tmp_path / "server", authentication=authentication) as server:
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
            token = issuer.token(groups=["a"], hd="example.com")
            user = server.post(WHOAMI, body, token=token).json["status"]["userInfo"]
            assert user["username"] == f"{issuer.url}#jane"
            assert user["groups"] == ["g:a", "system:authenticated"]
            assert server.post(WHOAMI, body, token=issuer.token(groups=["a"])).status == 401


def test_a_server_stops_while_an_issuer_does_not_answer(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path / "issuer", hold=PATIENCE)
    with issuer.server:
        file = tmp_path / "authentication.yaml"
        file.write_text(json.dumps(configuration_file(issuer.configuration())))
        authentication = AuthenticationOptions(config_file=file)
        with RunningServer(tmp_path / "server", authentication=authentication) as server:
            wait_until(lambda: issuer.server.requests, "the keys are asked for")
            assert server.get("/api").status == 200
