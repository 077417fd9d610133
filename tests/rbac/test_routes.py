"""Every route and verb that discovery names, asked by users of different rights, in their logical cluster and in another.

The answer is held to a table. A request that is not in it is refused; in the other logical cluster, all that the table does not
give to everybody. The numbers in names are those of the classes of published vulnerabilities.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import pytest

from kcp.api.documents import decode_json
from tests.support.clients import Address, Answer, Connection
from tests.support.objects import DEFINITIONS, definition
from tests.support.running_server import RunningServer

RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
MINE, OTHER = "tenant-a", "tenant-b"
ROLES: Final = ("view", "edit", "admin", "cluster-admin")
USERS: Final = ("anonymous", "nobody", *ROLES)

READ: Final = ("get", "list", "watch")
WRITE: Final = ("create", "delete", "deletecollection", "patch", "update")
EVERYBODY: Final = {
    "authentication.k8s.io/selfsubjectreviews": ("create",),
    "authorization.k8s.io/selfsubjectaccessreviews": ("create",),
    "authorization.k8s.io/selfsubjectrulesreviews": ("create",),
}
"""What every authenticated user may do with resources, in every logical cluster."""
VIEW: Final = dict.fromkeys(
    (
        "configmaps",
        "events",
        "events.k8s.io/events",
        "limitranges",
        "namespaces",
        "namespaces/status",
        "resourcequotas",
        "resourcequotas/status",
        "serviceaccounts",
        "services",
    ),
    READ,
)
EDIT: Final = {
    **VIEW,
    "configmaps": READ + WRITE,
    "coordination.k8s.io/leases": READ + WRITE,
    "events": READ + WRITE,
    "events.k8s.io/events": READ + WRITE,
    "secrets": READ + WRITE,
    "serviceaccounts": READ + WRITE,
    "serviceaccounts/token": ("create",),
    "services": READ + WRITE,
}
ADMIN: Final = {
    **EDIT,
    "authorization.k8s.io/localsubjectaccessreviews": ("create",),
    "rbac.authorization.k8s.io/rolebindings": READ + WRITE,
    "rbac.authorization.k8s.io/roles": READ + WRITE,
}
ALLOWED: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "anonymous": {},
    "nobody": EVERYBODY,
    "view": {**EVERYBODY, **VIEW},
    "edit": {**EVERYBODY, **EDIT},
    "admin": {**EVERYBODY, **ADMIN},
}
"""What users may do with resources in their logical cluster; ``cluster-admin`` may do everything."""

PUBLIC: Final = ("/healthz", "/livez", "/readyz", "/version")
DISCOVERY: Final = ("/api", "/apis", "/openapi")
"""The paths that everybody may read, and those that the authenticated may read; each with what is below, but for health."""

METHODS: Final = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_OF_COLLECTIONS: Final = frozenset({"list", "watch", "create", "deletecollection"})


class Route(NamedTuple):
    """A verb on a resource, ``group/plural/subresource``, and how it is asked for."""

    resource: str
    verb: str
    path: str


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("server")
    tokens = folder / "users.csv"
    tokens.write_text("".join(f"{name}-token,{name},uid-{name}\n" for name in USERS[1:]))
    with RunningServer(folder / "root", token_auth_file=tokens) as running:
        for cluster in (MINE, OTHER):
            assert running.post(f"/clusters/{cluster}{DEFINITIONS}", definition("widgets", "Widget")).status == 201
        for role in ROLES:
            binding = {
                "metadata": {"name": role + "-of-the-test"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": role}],
            }
            assert running.post(f"/clusters/{MINE}{RBAC}/clusterrolebindings", binding).status == 201
        yield running


class Client:
    """A user's connection; one that was given up for a watch is opened again."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None

    async def ask(self, method: str, path: str) -> Answer:
        """Send a request, and read no more of a watch than the head."""
        if self._connection is None:
            self._connection = await Connection(self._address).__aenter__()
        if not self._address.token:
            await self._connection.send_bytes(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            return await self._connection.answer(method)
        await self._connection.send(method, path)
        if "watch=true" in path:
            status, headers = await self._connection.head()
            await self.close()
            return Answer(status, headers, b"")
        return await self._connection.answer(method)

    async def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.__aexit__(None, None, None)
            self._connection = None


@asynccontextmanager
async def connected(server: RunningServer, user: str) -> AsyncIterator[Client]:
    token = {"anonymous": "", "root": server.token}.get(user, f"{user}-token")
    trust = ssl.create_default_context(cafile=str(server.process.configuration.data_directory / "ca.crt"))
    client = Client(Address("localhost", server.port, token, trust))
    try:
        yield client
    finally:
        await client.close()


async def discovered(client: Client, cluster: str) -> list[Route]:
    """Every verb of every resource and subresource in discovery."""

    async def read(path: str) -> Any:
        answer = await client.ask("GET", f"/clusters/{cluster}{path}")
        assert answer.status == 200, answer
        return decode_json(answer.body)[0]

    versions = [f"/api/{version}" for version in (await read("/api"))["versions"]]
    for group in (await read("/apis"))["groups"]:
        versions += [f"/apis/{each['groupVersion']}" for each in group["versions"]]
    return [
        route
        for version in versions
        for entry in (await read(version))["resources"]
        for route in _routes(cluster, version, entry)
    ]


def _routes(cluster: str, version: str, entry: dict[str, Any]) -> Iterator[Route]:
    group = version.split("/")[2] if version.startswith("/apis/") else ""
    plural, _, subresource = entry["name"].partition("/")
    place = "/namespaces/default" if entry["namespaced"] else ""
    for verb in entry["verbs"]:
        path = f"/clusters/{cluster}{version}{place}/{plural}"
        if subresource or verb not in _OF_COLLECTIONS:
            path += "/absent"
        path += f"/{subresource}" if subresource else ""
        if verb == "watch":
            path += "?watch=true"
        elif METHODS[verb] != "GET":
            path += "?dryRun=All"
        yield Route(f"{group}/{entry['name']}" if group else entry["name"], verb, path)


async def test_discovery_names_what_is_asked_for_here(server: RunningServer) -> None:
    async with connected(server, "root") as client:
        found = {(route.resource, route.verb) for route in await discovered(client, MINE)}
    assert len(found) > 150
    missing = {
        (resource, verb)
        for resource, verbs in ALLOWED["admin"].items()
        for verb in verbs
        if (resource, verb) not in found
        and resource not in ("services", "serviceaccounts/token", "namespaces/status", "resourcequotas/status")
    }
    assert missing <= {("namespaces", "deletecollection")}


@pytest.mark.parametrize("cluster", [MINE, OTHER])
@pytest.mark.parametrize("name", USERS)
async def test_class_21_every_verb_of_every_resource(server: RunningServer, name: str, cluster: str) -> None:
    async with connected(server, "root") as root:
        routes = await discovered(root, cluster)
    wrong = []
    async with connected(server, name) as client:
        for route in routes:
            answer = await client.ask(METHODS[route.verb], route.path)
            assert answer.status < 500, (route, answer)
            if (answer.status not in (401, 403)) != _expected(name, cluster, route):
                wrong.append((route, answer.status))
            if answer.status == 403 and answer.body:
                status = decode_json(answer.body)[0]
                assert status["reason"] == "Forbidden"
                who = "system:anonymous" if name == "anonymous" else name
                assert f'User "{who}" cannot {route.verb} resource' in status["message"]
    assert wrong == []


def _expected(name: str, cluster: str, route: Route) -> bool:
    if cluster == OTHER:
        return name != "anonymous" and route.verb in EVERYBODY.get(route.resource, ())
    return name == "cluster-admin" or route.verb in ALLOWED[name].get(route.resource, ())


@pytest.mark.parametrize("cluster", [MINE, OTHER, "root", "*"])
@pytest.mark.parametrize("name", USERS)
async def test_class_21_every_other_path(server: RunningServer, name: str, cluster: str) -> None:
    prefix = f"/clusters/{cluster}"
    async with connected(server, "root") as root:
        listed = decode_json((await root.ask("GET", prefix + "/")).body)[0]["paths"]
        paths = ["/", *listed, "/metrics", "/debug/pprof", "/logs", "/version/"]
    wrong = []
    async with connected(server, name) as client:
        for path in paths:
            answer = await client.ask("GET", prefix + path)
            if (answer.status not in (401, 403)) != _expected_path(name, cluster, path):
                wrong.append((path, answer.status))
            for method in ("POST", "DELETE"):
                allowed = name == "cluster-admin" and cluster == MINE and path != "/metrics"
                answer = await client.ask(method, prefix + path)
                if (answer.status not in (401, 403)) != allowed:
                    wrong.append((f"{method} {path}", answer.status))
    assert wrong == []


def _expected_path(name: str, cluster: str, path: str) -> bool:
    if cluster == "*":
        return False
    if name == "cluster-admin" and cluster == MINE:
        return path != "/metrics"
    public = path.rstrip("/") in PUBLIC
    return public or (name != "anonymous" and any(path == each or path.startswith(f"{each}/") for each in DISCOVERY))
