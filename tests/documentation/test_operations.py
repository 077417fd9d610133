"""`docs/operations.md`, followed: its commands are run as they stand there, on three machines that are directories and ports.

Every block of commands in the pages has a test; those of backup, Litestream and moving are followed in `tests/operations`.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.etcd import MISSING, Member, binary, free_ports

from kcp.testing import Server
from tests.clients import Address, Connection, config_map
from tests.documentation.test_readme import PAGES, README, ROOT, blocks

PAGE = ROOT / "docs" / "operations.md"
MAPS = "/api/v1/namespaces/default/configmaps"
MACHINES = ("e1", "e2", "e3")
ETCD_SERVERS = ",".join(f"https://{name}:2379" for name in MACHINES)

TESTED = {
    "kcp start --root-directory /var/lib/kcp\n": "tests/documentation/test_operations.py",
    "kcp start --root-directory /var/lib/kcp --etcd-servers": "tests/documentation/test_operations.py",
    "pip install": "tests/documentation/test_operations.py",
    "openssl req": "tests/documentation/test_operations.py",
    "etcd --name": "tests/documentation/test_operations.py",
    "export ETCDCTL_API": "tests/documentation/test_operations.py",
    "revision=$(etcdctl": "tests/faults/test_etcd_full.py",
    "kcp snapshot save --root-directory": "tests/documentation/test_operations.py",
    "kcp snapshot restore --root-directory": "tests/documentation/test_operations.py",
    "kcp snapshot save --etcd-servers": "tests/operations/test_moving.py",
    "kcp snapshot restore --etcd-servers": "tests/operations/test_moving.py",
    "kcp store check": "tests/documentation/test_operations.py",
    "kcp store export": "tests/operations/test_moving.py",
    "litestream": "tests/operations/test_litestream.py",
}
"""How blocks of commands begin, and who follows them."""


def test_every_block_of_commands_is_followed_by_a_test() -> None:
    for page in PAGES:
        for text in blocks(page, "sh") if page != README else []:
            followers = {module for begin, module in TESTED.items() if text.startswith(begin)}
            assert followers, f"{page.name}: nobody follows\n{text}"
            assert all((ROOT / module).exists() for module in followers)


def block(begin: str) -> str:
    """The one block of the page that begins so."""
    (found,) = [text for text in blocks(PAGE, "sh") if text.startswith(begin)]
    return found


def words_of(command: str) -> list[str]:
    """The words of one command, on however many lines."""
    return shlex.split(command.replace("\\\n", " "))


def shell(script: str, folder: Path) -> str:
    """What a script prints that ends well."""
    path = [
        str(Path(sys.executable).parent),
        *(str(Path(program).parent) for program in [binary("etcdctl")] if program),
    ]
    environment = {**os.environ, "PATH": ":".join([*path, os.environ["PATH"]])}
    command = ["bash", "-euo", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def started(text: str, root: Path) -> Server:
    """The server of a `kcp start`, in a directory of its own and on a free port."""
    words = words_of(text.replace("kcp.example.com", "localhost"))
    assert words[:2] == ["kcp", "start"]
    place = words.index("--root-directory")
    root.mkdir(parents=True, exist_ok=True)
    return Server(root_directory=root, in_process=False, arguments=[*words[2:place], *words[place + 2 :]])


async def _create(servers: list[Address], names: list[str]) -> int:
    """Create each object through the servers in turn, as a client that tries the next one where one has gone."""
    tries = 0
    for number, name in enumerate(names):
        for attempt in range(200):
            tries += 1
            try:
                async with Connection(servers[(number + attempt) % len(servers)]) as connection:
                    answer = await connection.request("POST", MAPS, config_map(name))
            except (OSError, EOFError):
                await asyncio.sleep(0.02)
                continue
            if answer.status in (201, 409):
                break
            assert answer.status in (429, 503), answer
            await asyncio.sleep(0.02)
        else:
            raise AssertionError(f"{name} could not be created")
    return tries


def names_at(server: Server) -> set[str]:
    """The objects that a server lists."""

    async def work() -> set[str]:
        async with Connection(Address.of(server)) as connection:
            answer = await connection.request("GET", MAPS)
            assert answer.status == 200, answer
            return {item["metadata"]["name"] for item in answer.json["items"]}

    return asyncio.run(work())


def test_one_machine(tmp_path: Path) -> None:
    root = tmp_path / "var/lib/kcp"

    def here(text: str) -> str:
        return text.replace("/var/lib/kcp", str(root))

    with started(block("kcp start --root-directory /var/lib/kcp\n"), root) as server:
        asyncio.run(_create([Address.of(server)], ["kept"]))
        assert "logical clusters: " in shell(here(block("kcp snapshot save --root-directory")), tmp_path)
        assert "0 violations" in shell(here(block("kcp store check")), tmp_path)
        assert shell("sha256sum --check backup.db.sha256", tmp_path) == "backup.db: OK\n"
        asyncio.run(_create([Address.of(server)], ["lost"]))
    shell(here(block("kcp snapshot restore --root-directory")), tmp_path)
    assert (root / "data/kcp.db.replaced").exists()
    with started(block("kcp start --root-directory /var/lib/kcp\n"), root) as server:
        assert names_at(server) == {"kept"}


def test_the_extra_that_is_installed_for_etcd_is_there() -> None:
    (extra,) = re.findall(r"kcp-apiserver\[(\w+)\]", block("pip install"))
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Members of etcd on three machines, started as the page says; what addresses of the page are here."""
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
    members = [_member(name, here, tmp_path) for name in MACHINES]
    for member in members:
        member.start()
    yield here
    for member in members:
        member.kill()


def _member(name: str, here: dict[str, str], folder: Path) -> Member:
    """The page's command for `e1`, as it is on another machine."""
    text = block("etcd --name")
    for written in (
        "--name e1",
        "e1.crt",
        "e1.key",
        "advertise-client-urls https://e1:",
        "advertise-peer-urls https://e1:",
    ):
        assert written in text
        text = text.replace(written, written.replace("e1", name))
    text = text.replace("/var/lib/etcd", str(folder / name / "etcd"))
    for port in ("2379", "2380"):
        text = text.replace(f"https://0.0.0.0:{port}", here[f"https://{name}:{port}"].replace("localhost", "127.0.0.1"))
    words = [str(folder / word) if word.endswith((".crt", ".key")) else word for word in words_of(located(text, here))]
    program = binary()
    assert program is not None
    return Member(name, [program, *words[1:]], here[f"https://{name}:2379"], folder / f"{name}.log")


def located(text: str, here: dict[str, str]) -> str:
    """A command of the page with the addresses that its machines have here."""
    for written, address in here.items():
        text = text.replace(written, address)
    return text


def test_three_machines_that_are_upgraded_one_after_the_other(tmp_path: Path, machines: dict[str, str]) -> None:
    prepare = located(block("export ETCDCTL_API"), machines)
    settings, health, *grants = prepare.splitlines()
    _until_healthy(f"{settings}\n{health}", tmp_path)
    shell("\n".join([settings, *grants]), tmp_path)
    start = located(block("kcp start --root-directory /var/lib/kcp --etcd-servers"), machines)
    start = re.sub(r"\b(\w+\.(?:crt|key))\b", rf"{tmp_path}/\1", start)
    servers = [started(start, tmp_path / name / "kcp") for name in MACHINES]
    try:
        for server in servers:
            server.start()
        assert len({server.token for server in servers}) == 1
        names = [f"before-{number}" for number in range(3)]
        asyncio.run(_create([Address.of(server) for server in servers], names))
        for number, server in enumerate(servers):
            others = [Address.of(other) for other in servers if other is not server]
            leaving = Address.of(server)
            server.stop()
            batch = [f"while-{number}-{each}" for each in range(6)]
            assert asyncio.run(_create([leaving, *others], batch)) > len(batch)  # the one that has gone was tried
            names += batch
            server.start()
        assert [names_at(server) for server in servers] == [set(names)] * 3
    finally:
        for server in servers:
            server.stop()


def _until_healthy(script: str, folder: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            shell(script, folder)
        except AssertionError:
            assert time.monotonic() < deadline, (folder / "e1.log").read_text()[-2000:]
            time.sleep(0.2)
        else:
            return
