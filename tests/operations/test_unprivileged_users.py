"""Users outside `system:masters` may read health, version and discovery, and nothing else: every type, verb and path."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kcp.auth import certificates
from kcp.testing import Server
from tests.support.clients import Address, Connection

MAY_ALL = {"/healthz", "/livez", "/readyz", "/readyz?verbose", "/version"}
MAY_NAMED = {
    "/api",
    "/api/v1",
    "/apis",
    "/apis/apps",
    "/apis/rbac.authorization.k8s.io/v1",
    "/openapi/v2",
    "/openapi/v3",
}
MAY_NONE = {"/livez/ping", "/metrics", "/", "/nothing", "/debug/pprof", "/logs"}
REVIEWS = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root: Path = tmp_path_factory.mktemp("unprivileged")
    (root / "tokens.csv").write_text(
        'jane-token,jane,u-1,"devs,system:nodes"\nroot-token,eve,u-2,"devs,system:masters"\n'
    )
    (root / "authority.crt").write_bytes((authority := certificates.new_authority("clients")).certificate)
    carl = certificates.new_client_identity(authority, "carl", ("devs",))
    (root / "carl.crt").write_bytes(carl.certificate)
    (root / "carl.key").write_bytes(carl.key)
    files = ("--token-auth-file", str(root / "tokens.csv"), "--client-ca-file", str(root / "authority.crt"))
    with Server(root_directory=root, arguments=files) as running:
        yield running


def address_of(server: Server, who: str) -> Address:
    """The credentials of a user."""
    address = Address.of(server)
    if who == "carl":
        trust = ssl.create_default_context(cafile=str(server.certificate_authority))
        trust.load_cert_chain(server.root_directory / "carl.crt", server.root_directory / "carl.key")
        return replace(address, trust=trust)
    return address


def headers_of(who: str) -> dict[str, str]:
    return {"Authorization": "Bearer jane-token"} if who == "jane" else {"Authorization": ""}


async def everything(connection: Connection) -> list[tuple[str, str, str]]:
    """Each verb of each served type: method, path and resource."""
    found = []
    groups = (await connection.request("GET", "/apis")).json["groups"]
    places = ["/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])]
    methods = {"create": "POST", "update": "PUT", "patch": "PATCH", "delete": "DELETE", "get": "GET", "list": "GET"}
    for place in places:
        for resource in (await connection.request("GET", place)).json["resources"]:
            plural, _, subresource = resource["name"].partition("/")
            namespace = "/namespaces/default" if resource["namespaced"] else ""
            for verb in resource["verbs"]:
                named = verb in ("get", "update", "patch", "delete") or subresource
                path = (
                    f"{place}{namespace}/{plural}"
                    + ("/some" if named else "")
                    + (f"/{subresource}" if subresource else "")
                )
                if verb == "watch":
                    path += "?watch=true"
                found.append(
                    (methods.get(verb, "DELETE" if verb == "deletecollection" else "GET"), path, resource["name"])
                )
    return found


@pytest.mark.parametrize("who", ["anonymous", "jane", "carl"])
@pytest.mark.parametrize("cluster", ["", "/clusters/other", "/clusters/*"])
async def test_every_verb_of_every_type_is_403(server: Server, who: str, cluster: str) -> None:
    async with Connection(Address.of(server)) as admin:
        requests = await everything(admin)
    assert len(requests) > 100
    name = {"anonymous": "system:anonymous"}.get(who, who)
    async with Connection(address_of(server, who)) as connection:
        for method, path, resource in requests:
            if resource in REVIEWS and who != "anonymous":
                continue
            body: Any = {} if method in ("POST", "PUT", "PATCH") else None
            answer = await connection.request(method, cluster + path, body, **headers_of(who))
            assert answer.status == 403, (method, path, answer)
            assert answer.json["reason"] == "Forbidden"
            assert f'User "{name}" cannot ' in answer.json["message"], answer.json


@pytest.mark.parametrize("who", ["anonymous", "jane", "carl"])
async def test_other_paths_are_allowed_as_in_kubernetes(server: Server, who: str) -> None:
    async with Connection(address_of(server, who)) as connection:
        for path in sorted(MAY_ALL | MAY_NAMED | MAY_NONE):
            status = (await connection.request("GET", path, **headers_of(who))).status
            allowed = path in MAY_ALL or (path in MAY_NAMED and who != "anonymous")
            assert (status != 403) == allowed, (path, status)


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer ", "Bearer jane-token2"])
async def test_credentials_that_are_wrong_are_401_and_not_anonymous(server: Server, header: str) -> None:
    async with Connection(Address.of(server)) as connection:
        answer = await connection.request("GET", "/api/v1/namespaces", Authorization=header)
    assert answer.status in (401, 403)
    assert (answer.status == 401) == (header != "Bearer ")


async def test_a_member_of_system_masters_may_do_everything(server: Server) -> None:
    async with Connection(Address.of(server)) as connection:
        answer = await connection.request("GET", "/clusters/*/api/v1/secrets", Authorization="Bearer root-token")
    assert answer.status == 200
