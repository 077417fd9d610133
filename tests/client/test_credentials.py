"""Credentials: client certificates, tokens in files, exec plugins and Pods, shown to a real kcp; rotation and rejection."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from kcp.client import Client, ConfigurationError, CredentialsError, UnauthorizedError, load_configuration
from kcp.client.credentials.exec_plugins import ExecConfiguration, ExecPlugin
from kcp.client.credentials.files import FileCredentials
from kcp.client.kubeconfig import in_cluster
from kcp.testing import LogicalCluster
from tests.client.conftest import AuthenticatingServer
from tests.client.scripted_servers import answer, refusal, scripted
from tests.support.clocks import Clock
from tests.support.waiting import PATIENCE

VERSION = "client.authentication.k8s.io/v1"
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


async def who_am_i(client: Client) -> dict[str, Any]:
    """The user that the server sees."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answered = await client.raw("POST", REVIEW, json.dumps(review).encode())
    found: dict[str, Any] = answered.json()["status"]["userInfo"]
    return found


def kubeconfig_of(cluster: LogicalCluster, path: Path, user: dict[str, Any], **fields: Any) -> Path:
    """The kubeconfig of a logical cluster with another user."""
    content = yaml.safe_load(cluster.kubeconfig.read_text())
    content["users"][0]["user"] = user
    content["clusters"][0]["cluster"] |= fields
    path.write_text(yaml.safe_dump(content))
    return path


def program(path: Path, code: str) -> Path:
    """An executable Python program."""
    path.write_text(f"#!{sys.executable}\nimport json, os, sys\n{code}")
    path.chmod(0o755)
    return path


def printing(status: dict[str, Any]) -> str:
    return f"print({json.dumps({'apiVersion': VERSION, 'kind': 'ExecCredential', 'status': status})!r})"


@pytest.mark.parametrize("inline", [True, False])
async def test_a_client_certificate(
    authenticating_server: AuthenticatingServer, cluster: LogicalCluster, home: Path, inline: bool
) -> None:
    pair = authenticating_server.client_certificate("anna", "devs")
    if inline:
        user = {
            "client-certificate-data": base64.b64encode(pair.certificate).decode(),
            "client-key-data": base64.b64encode(pair.key).decode(),
        }
    else:
        (home / "anna.crt").write_bytes(pair.certificate)
        (home / "anna.key").write_bytes(pair.key)
        user = {"client-certificate": "anna.crt", "client-key": "anna.key"}
    path = kubeconfig_of(cluster, home / "config", user)
    async with Client(load_configuration(path)) as client:
        found = await who_am_i(client)
    assert (found["username"], found["groups"]) == ("anna", ["devs", "system:authenticated"])


async def test_a_certificate_with_the_key_of_another_is_refused(
    cluster: LogicalCluster, home: Path, authenticating_server: AuthenticatingServer
) -> None:
    pair, other = authenticating_server.client_certificate("anna"), authenticating_server.client_certificate("bert")
    user = {
        "client-certificate-data": base64.b64encode(pair.certificate).decode(),
        "client-key-data": base64.b64encode(other.key).decode(),
    }
    async with Client(load_configuration(kubeconfig_of(cluster, home / "config", user))) as client:
        with pytest.raises(CredentialsError, match="no pair in PEM") as caught:
            await client.version()
    assert "PRIVATE" not in str(caught.value)


async def test_impersonation(cluster: LogicalCluster, home: Path) -> None:
    user = {
        "token": cluster.token,
        "as": "jane",
        "as-groups": ["one", "two"],
        "as-user-extra": {"example.com/Scope": ["a"]},
    }
    async with Client(load_configuration(kubeconfig_of(cluster, home / "config", user))) as client:
        found = await who_am_i(client)
    assert found["username"] == "jane"
    assert found["groups"] == ["one", "two", "system:authenticated"]
    assert found["extra"] == {"example.com/scope": ["a"]}


async def test_a_plugin_gives_a_token_and_gets_the_cluster(
    authenticating_server: AuthenticatingServer, cluster: LogicalCluster, home: Path
) -> None:
    code = f"""
info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
open({str(home / "info")!r}, "w").write(json.dumps([info, sys.argv[1:], os.environ["EXTRA"]]))
{printing({"token": "jane-token"})}
"""
    program(home / "plugin", code)
    entry = {
        "apiVersion": VERSION,
        "command": "./plugin",
        "args": ["--for", "me"],
        "env": [{"name": "EXTRA", "value": "7"}],
        "provideClusterInfo": True,
        "interactiveMode": "Never",
    }
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "kcp"}}
    path = kubeconfig_of(cluster, home / "config", {"exec": entry}, extensions=[extension])
    async with Client(load_configuration(path)) as client:
        assert (await who_am_i(client))["username"] == "jane"
    info, arguments, extra = json.loads((home / "info").read_text())
    assert (arguments, extra) == (["--for", "me"], "7")
    assert info["apiVersion"] == VERSION
    assert info["spec"]["interactive"] is False
    assert info["spec"]["cluster"]["server"] == cluster.url
    assert info["spec"]["cluster"]["config"] == {"audience": "kcp"}
    authority = base64.b64decode(info["spec"]["cluster"]["certificate-authority-data"])
    assert authority == cluster.certificate_authority.read_bytes()


async def test_a_plugin_gives_a_certificate(
    authenticating_server: AuthenticatingServer, cluster: LogicalCluster, home: Path
) -> None:
    pair = authenticating_server.client_certificate("carl")
    status = {"clientCertificateData": pair.certificate.decode(), "clientKeyData": pair.key.decode()}
    program(home / "plugin", printing(status))
    user = {"exec": {"apiVersion": VERSION, "command": "./plugin"}}
    async with Client(load_configuration(kubeconfig_of(cluster, home / "config", user))) as client:
        assert (await who_am_i(client))["username"] == "carl"


COUNTING = """
path = {path!r}
count = int(open(path).read()) + 1 if os.path.exists(path) else 1
open(path, "w").write(str(count))
status = {{"token": f"token-{{count}}", "expirationTimestamp": {expiration!r}}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


NOW = 1_000_000_000.0  # 2001-09-09T01:46:40Z


def counting(home: Path, expiration: str, clock: Clock | None = None) -> ExecPlugin:
    """A plugin that gives another token each time it runs, with a clock that says 2001-09-09 by default."""
    path = program(home / "plugin", COUNTING.format(path=str(home / "count"), expiration=expiration))
    return ExecPlugin(
        "config: user", ExecConfiguration(api_version=VERSION, command=str(path)), clock=clock or Clock(NOW)
    )


async def test_a_plugin_runs_once_for_requests_that_come_together_and_again_after_its_credential_expired(
    home: Path,
) -> None:
    clock = Clock(NOW)
    plugin = counting(home, "2001-09-09T02:00:00Z", clock)
    together = await asyncio.gather(*(plugin.current() for _ in range(5)))
    assert {each.authorization for each in together} == {"Bearer token-1"}
    clock.now += 3600
    assert (await plugin.current()).authorization == "Bearer token-2"


async def test_a_401_makes_the_plugin_run_again_once(home: Path) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer token-2":
            return answer({"major": "1"})
        return refusal(401, "Unauthorized")

    plugin = counting(home, "2030-01-01T00:00:00Z")
    async with scripted(handler) as server, server.client(credentials=plugin) as client:
        assert await client.version() == {"major": "1"}
        assert len(server.requests) == 2


async def test_a_401_to_every_credential_is_the_answer(home: Path) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return refusal(401, "Unauthorized")

    plugin = counting(home, "2030-01-01T00:00:00Z")
    async with scripted(handler) as server, server.client(credentials=plugin) as client:
        with pytest.raises(UnauthorizedError):
            await client.version()
        assert len(server.requests) == 2


SECRET = "hunter2-do-not-show"
FAULTS = {
    f"print({SECRET!r}); sys.exit(3)": "ended with exit code 3",
    f"print({SECRET!r})": "printed no JSON",
    f"print(json.dumps({{'token': {SECRET!r}}}))": "printed no ExecCredential",
    "print(json.dumps({'kind': 'ExecCredential', 'apiVersion': 'v0'}))": "of another apiVersion than " + VERSION,
    printing({}): "neither a token nor clientCertificateData",
    printing({"token": 17}): "must be strings",
    printing({"clientCertificateData": SECRET}): "only one of clientCertificateData and clientKeyData",
    printing({"token": SECRET + "\n"}): "status.token must consist of printable ASCII",
    printing({"token": SECRET, "expirationTimestamp": "soon"}): "expirationTimestamp must be an RFC 3339 time",
    f"print({SECRET!r} * 100000)": "printed more than",
    f"while True: print({SECRET!r})": "printed more than",
}


@pytest.mark.parametrize("code", FAULTS, ids=list(FAULTS.values()))
async def test_a_plugin_that_fails_is_named_and_its_output_is_not_shown(code: str, home: Path) -> None:
    path = program(home / "plugin", code)
    plugin = ExecPlugin('config: context "dev", user "u"', ExecConfiguration(api_version=VERSION, command=str(path)))
    with pytest.raises(CredentialsError) as caught:
        await plugin.current()
    message = str(caught.value)
    assert message.startswith(f'config: context "dev", user "u": exec: {path}')
    assert FAULTS[code] in message
    assert SECRET not in message
    assert SECRET not in repr(caught.value.__cause__)


async def test_a_plugin_that_is_not_installed_gives_its_hint(home: Path) -> None:
    plugin = ExecPlugin(
        "u", ExecConfiguration(api_version=VERSION, command=str(home / "none"), install_hint="get it from example.com")
    )
    with pytest.raises(
        CredentialsError, match=r"cannot run .*none: No such file or directory\nget it from example.com"
    ):
        await plugin.current()


async def test_a_plugin_that_hangs_is_killed() -> None:
    seconds = "98765.4321"
    plugin = ExecPlugin("u", ExecConfiguration(api_version=VERSION, command="sleep", arguments=(seconds,)), timeout=0.5)
    with pytest.raises(CredentialsError, match=r"sleep did not end within 0.5 s"):
        await plugin.current()
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not any(seconds.encode() in command for command in running)


@pytest.mark.parametrize(
    ("printed", "timeout", "problem"),
    [(1, 0.5, "did not end within 0.5 s"), (1 << 21, PATIENCE, "printed more than")],
    ids=["little", "much"],
)
async def test_the_end_of_a_plugin_does_not_wait_for_its_child(
    home: Path, printed: int, timeout: float, problem: str
) -> None:
    """The child has the standard output of the plugin, and does not end with it."""
    child, path = home / "child", home / "plugin"
    path.write_text(f"#!/bin/sh\nsleep 900 &\necho $! >{child}\nhead -c {printed} /dev/zero\nexec sleep 900\n")
    path.chmod(0o755)
    plugin = ExecPlugin("u", ExecConfiguration(api_version=VERSION, command=str(path)), timeout=timeout)
    try:
        with pytest.raises(CredentialsError, match=problem):
            await plugin.current()
    finally:
        if child.exists() and (number := child.read_text()):
            os.kill(int(number), signal.SIGKILL)


async def test_a_plugin_that_needs_a_terminal_is_not_run_without_one(home: Path) -> None:
    plugin = ExecPlugin("u", ExecConfiguration(api_version=VERSION, command="true", interactive_mode="Always"))
    with pytest.raises(CredentialsError, match="needs a terminal as standard input"):
        await plugin.current()


async def test_a_token_file_is_read_again_after_a_minute_and_after_a_401(home: Path) -> None:
    clock = Clock()
    path = home / "token"
    path.write_text("one\n")
    credentials = FileCredentials("u", token_file=path, clock=clock)
    first = await credentials.current()
    path.write_text("two\n")
    assert await credentials.current() is first
    assert credentials.rejected(first)
    assert (await credentials.current()).authorization == "Bearer two"
    path.write_text("three")
    clock.now = 60.0
    assert (await credentials.current()).authorization == "Bearer three"
    assert not credentials.rejected(await credentials.current())
    path.unlink()  # it is being replaced
    clock.now = 120.0
    assert (await credentials.current()).authorization == "Bearer three"


async def test_a_pod_finds_its_server_in_the_environment(
    authenticating_server: AuthenticatingServer, cluster: LogicalCluster, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_cluster, "SERVICE_ACCOUNT", home)
    port = cluster.url.split(":")[2].split("/")[0]
    (home / "token").write_text("jane-token")
    (home / "ca.crt").write_bytes(cluster.certificate_authority.read_bytes())
    (home / "namespace").write_text("team")
    variables = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port, "HOME": str(home)}
    configuration = load_configuration(environment=variables, qps=7.0, user_agent="controller")
    assert (configuration.qps, configuration.user_agent) == (7.0, "controller")
    async with Client(configuration) as client:
        assert client.namespace == "team"
        assert (await who_am_i(client))["username"] == "jane"
    (home / "token").unlink()
    with pytest.raises(ConfigurationError, match=r"in-cluster configuration: tokenFile: .*No such file"):
        in_cluster.in_cluster_configuration(variables)
