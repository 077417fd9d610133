"""The commands of `docs/operations.md`, run as the page has them on three machines that are directories and ports.

Every block of commands in the pages has a test; those of backup, Litestream and moving are followed in `tests/operations`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from devtools.etcd import ETCDCTL_PATIENCE, MISSING, Member, binary, version
from devtools.ports import free_ports
from kcp.testing import Server
from tests.documentation.test_readme import PAGES, README, ROOT, blocks
from tests.support.clients import Address, Connection
from tests.support.objects import config_map
from tests.support.waiting import PATIENCE, eventually, wait_until

PAGE = ROOT / "docs" / "operations.md"
MAPS = "/api/v1/namespaces/default/configmaps"
MACHINES = ("e1", "e2", "e3")

TESTED = {
    "kcp start --root-directory /var/lib/kcp\n": "tests/documentation/test_operations.py",
    "kcp start --root-directory /var/lib/kcp --etcd-servers": "tests/documentation/test_operations.py",
    "kcp start --root-directory /var/lib/kcp --authentication-config": "tests/documentation/test_authentication.py",
    "kcp start --root-directory /var/lib/kcp --requestheader-client-ca-file": "tests/documentation/test_authentication.py",
    "kubectl config set-credentials jane --exec-command": "tests/documentation/test_authentication.py",
    "openssl req -new -newkey rsa:2048 -nodes -keyout jane.key": "tests/documentation/test_authentication.py",
    "kcp start --install-api-negotiation": "tests/documentation/test_api_negotiation.py",
    "kubectl config set-cluster team-a": "tests/documentation/test_authorization.py",
    "kubectl create namespace team": "tests/documentation/test_authorization.py",
    "kubectl create clusterrole widgets-view": "tests/documentation/test_authorization.py",
    "kubectl create serviceaccount bot": "tests/service_accounts/test_documentation.py",
    "kubectl create clusterrolebinding token-keys": "tests/service_accounts/test_documentation.py",
    "kcp service-account-keys": "tests/service_accounts/test_documentation.py",
    "kcp start --audit-policy-file": "tests/documentation/test_auditing.py",
    "openssl req -new ": "tests/documentation/test_certificates.py",
    "pip install": "tests/documentation/test_operations.py",
    "openssl req": "tests/documentation/test_operations.py",
    "etcd --name": "tests/documentation/test_operations.py",
    "export ETCDCTL_API": "tests/documentation/test_operations.py",
    "revision=$(etcdctl": "tests/faults/test_etcd_full.py",
    "etcdctl snapshot save": "tests/documentation/test_operations.py",
    "mv /var/lib/etcd": "tests/documentation/test_operations.py",
    "kcp snapshot save --root-directory": "tests/documentation/test_operations.py",
    "kcp snapshot restore --root-directory": "tests/documentation/test_operations.py",
    "kcp snapshot save --etcd-servers": "tests/operations/test_export_import.py",
    "kcp snapshot restore --etcd-servers": "tests/operations/test_export_import.py",
    "kcp store check": "tests/documentation/test_operations.py",
    "kcp crd-puller": "tests/cli/test_crd_puller.py",
    "kcp syncer": "tests/cli/test_syncer.py",
    "kcp cluster syncer-kubeconfig": "tests/cli/test_cluster_mistakes.py",
    "kcp start --with-cluster-controller": "tests/documentation/test_demo.py",
    "kcp start --bind-address 0.0.0.0 --external-hostname": "tests/documentation/test_multicluster.py",
    "kubectl get namespaces -l workload.kcp.io/cluster-uid": "tests/documentation/test_multicluster.py",
    "helm install kcp contrib/helm/kcp": "tests/multicluster/clusters/test_packaging.py",
    "kubectl apply -k contrib/kustomize/kcp": "tests/multicluster/clusters/test_packaging.py",
    "kcp store export": "tests/operations/test_export_import.py",
    "kubectl delete --raw": "tests/server/test_damaged_values.py",
    "cat > keys.yaml": "tests/encryption/test_page.py",
    "kcp start --root-directory /var/lib/kcp --encryption-provider-config": "tests/encryption/test_page.py",
    "kubectl get secrets": "tests/encryption/test_page.py",
    "litestream": "tests/operations/test_litestream.py",
}
"""How blocks of commands begin, and the test that runs each."""
NEED_CONTAINERS = ("docker build", "kubectl -n kcp exec")
"""How the blocks begin that need Docker, or a cluster that runs containers: no test runs them."""


def test_every_block_of_commands_is_followed_by_a_test() -> None:
    for page in PAGES:
        for text in blocks(page, "sh") if page != README else []:
            if text.startswith(NEED_CONTAINERS):
                continue
            followers = {module for begin, module in TESTED.items() if text.startswith(begin)}
            assert followers, f"{page.name}: no test runs\n{text}"
            assert all((ROOT / module).exists() for module in followers)


def block(begin: str) -> str:
    """Return the one block of the page that begins with this text."""
    (found,) = [text for text in blocks(PAGE, "sh") if text.startswith(begin)]
    return found


def words_of(command: str) -> list[str]:
    """Split one command, which may span lines, into words."""
    return shlex.split(command.replace("\\\n", " "))


def shell(script: str, folder: Path) -> str:
    """Return the output of a script, which must succeed."""
    path = [
        *(str(Path(program).parent) for program in [binary("etcdctl")] if program),
        str(Path(sys.executable).parent),
    ]
    environment = {**os.environ, **ETCDCTL_PATIENCE, "PATH": ":".join([*path, os.environ["PATH"]])}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def started(text: str, root: Path) -> Server:
    """Run the server of a `kcp start` in a directory of its own, on a free port."""
    words = words_of(text.replace("kcp.example.com", "localhost"))
    assert words[:2] == ["kcp", "start"]
    place = words.index("--root-directory")
    root.mkdir(parents=True, exist_ok=True)
    return Server(root_directory=root, in_process=False, arguments=[*words[2:place], *words[place + 2 :]])


async def _create(servers: list[Address], names: list[str]) -> int:
    """Create each object through the servers in rotation; when one fails, try the next.

    Returns the number of requests.
    """
    tries = 0

    async def created(name: str, turns: Iterator[Address]) -> bool:
        nonlocal tries
        tries += 1
        try:
            async with Connection(next(turns)) as connection:
                answer = await connection.request("POST", MAPS, config_map(name))
        except (OSError, EOFError):
            return False
        assert answer.status in (201, 409, 429, 503), answer
        return answer.status in (201, 409)

    for number, name in enumerate(names):
        turns = itertools.islice(itertools.cycle(servers), number % len(servers), None)
        await eventually(partial(created, name, turns), f"{name} is created")
    return tries


async def names_at(server: Server) -> set[str]:
    """The names of the objects that a server lists, without that of every namespace."""
    async with Connection(Address.of(server)) as connection:
        answer = await connection.request("GET", MAPS)
        assert answer.status == 200, answer
        return {item["metadata"]["name"] for item in answer.json["items"]} - {"kube-root-ca.crt"}


async def test_the_commands_for_one_machine(tmp_path: Path) -> None:
    root = tmp_path / "var/lib/kcp"

    def here(text: str) -> str:
        return text.replace("/var/lib/kcp", str(root))

    with started(block("kcp start --root-directory /var/lib/kcp\n"), root) as server:
        await _create([Address.of(server)], ["kept"])
        assert "logical clusters: " in shell(here(block("kcp snapshot save --root-directory")), tmp_path)
        assert "0 violations" in shell(here(block("kcp store check")), tmp_path)
        assert shell("sha256sum --check backup.db.sha256", tmp_path) == "backup.db: OK\n"
        await _create([Address.of(server)], ["lost"])
    shell(here(block("kcp snapshot restore --root-directory")), tmp_path)
    assert (root / "data/kcp.db.replaced").exists()
    with started(block("kcp start --root-directory /var/lib/kcp\n"), root) as server:
        assert await names_at(server) == {"kept"}


def test_the_extra_that_is_installed_for_etcd_is_there() -> None:
    (extra,) = re.findall(r"kcp-apiserver\[(\w+)\]", block("pip install"))
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


@pytest.fixture
def machines(tmp_path: Path) -> dict[str, str]:
    """Three machines with the page's certificates, and the local addresses that stand for those of the page."""
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed (apt-get install openssl)")
    ports = free_ports(2 * len(MACHINES))
    here = {}
    for number, name in enumerate(MACHINES):
        here[f"https://{name}:2379"] = f"https://localhost:{ports[2 * number]}"
        here[f"https://{name}:2380"] = f"https://localhost:{ports[2 * number + 1]}"
    shell(block("openssl req"), tmp_path)
    return here


@pytest.fixture
def members(tmp_path: Path, machines: dict[str, str]) -> Iterator[list[Member]]:
    """Members of etcd on three machines, started as on the page."""
    members = [_member(name, machines, tmp_path) for name in MACHINES]
    for member in members:
        member.start()
    yield members
    for member in members:
        member.kill()


@pytest.fixture
def settings(tmp_path: Path, machines: dict[str, str], members: list[Member]) -> str:
    """The environment of etcd's administrator, who has prepared etcd as on the page."""
    settings, health, *grants = located(block("export ETCDCTL_API"), machines).splitlines()
    _until_healthy(f"{settings}\n{health}", tmp_path)
    shell("\n".join([settings, *grants]), tmp_path)
    return settings


@pytest.fixture
def servers(tmp_path: Path, machines: dict[str, str], settings: str) -> Iterator[list[Server]]:
    """Servers on three machines, not started yet; they are stopped at the end."""
    start = located(block("kcp start --root-directory /var/lib/kcp --etcd-servers"), machines)
    start = re.sub(r"\b(\w+\.(?:crt|key))\b", rf"{tmp_path}/\1", start)
    servers = [started(start, tmp_path / name / "kcp") for name in MACHINES]
    yield servers
    for server in servers:
        server.stop()


def _member(name: str, here: dict[str, str], folder: Path) -> Member:
    """Rewrite the page's command for `e1` for another machine."""
    urls = ("advertise-client-urls https://e1:", "advertise-peer-urls https://e1:")
    text = _elsewhere(block("etcd --name"), name, folder, "--name e1", "e1.crt", "e1.key", *urls)
    for port in ("2379", "2380"):
        text = text.replace(f"https://0.0.0.0:{port}", here[f"https://{name}:{port}"].replace("localhost", "127.0.0.1"))
    words = [str(folder / word) if word.endswith((".crt", ".key")) else word for word in words_of(located(text, here))]
    program = binary()
    assert program is not None
    return Member(name, [program, *words[1:]], here[f"https://{name}:2379"], folder / f"{name}.log")


def _elsewhere(text: str, name: str, folder: Path, *parts: str) -> str:
    """Rewrite a command for `e1` for another machine: these parts of it contain the machine's name."""
    for written in parts:
        assert written in text
        text = text.replace(written, written.replace("e1", name))
    return text.replace("/var/lib/etcd", str(folder / name / "etcd"))


def located(text: str, here: dict[str, str]) -> str:
    """Replace the addresses in a command of the page by the local ones."""
    for written, address in here.items():
        text = text.replace(written, address)
    return text


async def test_three_machines_that_are_upgraded_one_after_the_other(servers: list[Server]) -> None:
    for server in servers:
        server.start()
    assert len({server.token for server in servers}) == 1
    names = [f"before-{number}" for number in range(3)]
    await _create([Address.of(server) for server in servers], names)
    for number, server in enumerate(servers):
        others = [Address.of(other) for other in servers if other is not server]
        leaving = Address.of(server)
        server.stop()
        batch = [f"while-{number}-{each}" for each in range(6)]
        assert await _create([leaving, *others], batch) > len(batch)  # the one that has gone was tried
        names += batch
        server.start()
    assert [await names_at(server) for server in servers] == [set(names)] * 3


async def _delete(server: Address, name: str) -> int:
    """Delete an object; return the newest revision afterwards."""
    async with Connection(server) as connection:
        answer = await connection.request("DELETE", f"{MAPS}/{name}")
        assert answer.status == 200, answer
        return int((await connection.request("GET", MAPS)).json["metadata"]["resourceVersion"])


async def _refusal(server: Address, revision: int) -> int:
    """Return the code with which the server ends a watch from a revision at once."""
    async with asyncio.timeout(PATIENCE), Connection(server) as connection:
        answer = await connection.request("GET", f"{MAPS}?watch=true&resourceVersion={revision}")
        return int(answer.json["object"]["code"])


async def test_etcd_is_restored_from_its_own_snapshot(
    tmp_path: Path, machines: dict[str, str], members: list[Member], settings: str, servers: list[Server]
) -> None:
    """The servers keep their replicas, which have seen the lost revisions."""
    program = binary("etcdutl")
    if program is None or version(program) < (3, 6):
        pytest.skip("etcdutl 3.6 is not there (KCP_TEST_ETCD may name a folder with it)")
    for server in servers[:2]:
        server.start()
    addresses = [Address.of(server) for server in servers[:2]]
    await _create(addresses, ["kept", "deleted"])
    shell(f"{settings}\n{block('etcdctl snapshot save')}", tmp_path)
    await _create(addresses, ["lost"])
    before = await _delete(addresses[0], "deleted")
    for server in servers[:2]:
        server.stop()
    for member in members:
        member.stop()
    for member in members:
        restore = _elsewhere(block("mv /var/lib/etcd"), member.name, tmp_path, "--name e1", "peer-urls https://e1:")
        shell(located(restore, machines), tmp_path)
        member.start()
    _until_healthy(f"{settings}\netcdctl endpoint health --cluster", tmp_path)
    for server in servers:
        server.start()
        assert await names_at(server) == {"kept", "deleted"}
        assert await _refusal(Address.of(server), before) == 410
    await _create([Address.of(server) for server in servers], ["after"])
    assert [await names_at(server) for server in servers] == [{"kept", "deleted", "after"}] * 3


def _until_healthy(script: str, folder: Path) -> None:
    def healthy() -> bool:
        try:
            shell(script, folder)
        except AssertionError:
            return False
        return True

    wait_until(healthy, f"etcd, whose log is {folder / 'e1.log'}, is healthy")
