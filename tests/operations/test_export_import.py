"""Moving objects between stores with the commands of ``docs/operations.md``, run as they are on the page."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from devtools.etcd import MISSING, EtcdCluster, binary
from kcp.cli.main import main
from kcp.testing import Server
from kcp.testing.server import ServerError
from tests.support.clients import Address, Answer, Connection
from tests.support.commands import kcp
from tests.support.etcd import own_etcd
from tests.support.objects import DEFINITIONS, config_map, definition
from tests.support.waiting import PATIENCE

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
MAPS = "api/v1/namespaces/default/configmaps"
OWN_MAPS_ONLY = ["--publish-root-ca=false"]
GEARS = "apis/example.com/v1/namespaces/default/gears"
ETCD = "https://e1:2379,https://e2:2379,https://e3:2379"


def commands(section: str, command: str) -> list[str]:
    """Return the commands of a section of the page that begin with this text."""
    text = re.split(rf"^##+ {section}$", PAGE, flags=re.MULTILINE)[1]
    text = re.split(r"^##+ ", text, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [line for block in blocks for line in block.splitlines() if line.startswith(command)]
    assert found, (section, command)
    return found


async def run(line: str, folder: Path, etcd: EtcdCluster | None = None) -> Result:
    """Run a command, with its files and directories in a folder, and this etcd instead of the page's."""
    words = []
    for word in shlex.split(line)[1:]:
        word = word.replace(ETCD, ",".join(etcd.urls) if etcd is not None else ETCD)
        is_file = re.search(r"\.(db|gz|jsonl)$", word)
        words.append(str(folder / word.lstrip("/")) if word.startswith("/") or is_file else word)
    return await kcp(*words)


async def done(line: str, folder: Path, etcd: EtcdCluster | None = None) -> str:
    """Return the output of a command, which must succeed."""
    result = await run(line, folder, etcd)
    assert result.exit_code == 0, f"{line}\n{result.output}"
    return result.output


async def refused(line: str, folder: Path, etcd: EtcdCluster | None = None) -> str:
    """Return the one line of output of a command that must fail."""
    result = await run(line, folder, etcd)
    assert result.exit_code == 1, (line, result.output)
    assert result.output.startswith("kcp: ")
    assert result.output.count("\n") == 1
    return result.output


async def ask(server: Server, method: str, path: str, body: object = None) -> Answer:
    """Send one request."""
    async with Connection(Address.of(server)) as connection:
        return await connection.request(method, f"/{path}", body)


async def listed(server: Server, path: str) -> dict[str, Any]:
    """Return a list."""
    answer = await ask(server, "GET", path)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def without_versions(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return objects without their resource versions."""
    return [{**item, "metadata": {**item["metadata"], "resourceVersion": ""}} for item in items]


async def make_objects(server: Server, cluster: str = "root") -> None:
    """Create some objects in a logical cluster, of a custom type too."""
    prefix = f"clusters/{cluster}/"
    assert (await ask(server, "POST", f"{prefix}{DEFINITIONS[1:]}", definition("gears", "Gear"))).status == 201
    for number in range(3):
        assert (await ask(server, "POST", prefix + MAPS, config_map(f"m{number}", cluster=cluster))).status == 201
    gear = {"apiVersion": "example.com/v1", "kind": "Gear", "metadata": {"name": "g"}, "teeth": 7}
    assert (await ask(server, "POST", prefix + GEARS, gear)).status == 201
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}}
    assert (await ask(server, "POST", f"{prefix}api/v1/namespaces", space)).status == 201


async def objects(server: Server, cluster: str = "root") -> dict[str, Any]:
    """Return these objects as a client sees them, without resource versions, and the UIDs of the virtual objects."""
    paths = (DEFINITIONS[1:], MAPS, GEARS, "api/v1/namespaces")
    return {path: without_versions((await listed(server, f"clusters/{cluster}/{path}"))["items"]) for path in paths}


async def newest(server: Server) -> int:
    """Return the newest revision that a client has seen."""
    return int((await listed(server, MAPS))["metadata"]["resourceVersion"])


async def is_gone(server: Server, path: str, revision: int) -> bool:
    """Whether a watch from a revision is refused because the client must list again."""
    answer = await ask(server, "GET", f"{path}?watch=true&resourceVersion={revision}&timeoutSeconds=1")
    return answer.status == 410 or b'"code":410' in answer.body


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdCluster]:
    """A running etcd."""
    with own_etcd(tmp_path) as running:
        yield running


def server_over(etcd: EtcdCluster, root: Path, *, in_process: bool = True) -> Server:
    """Run a server whose log is in this etcd."""
    root.mkdir(parents=True, exist_ok=True)
    arguments = ["--etcd-servers", ",".join(etcd.urls)]
    return Server(root_directory=root, in_process=in_process, arguments=[*OWN_MAPS_ONLY, *arguments])


async def test_all_objects_move_to_etcd_and_a_logical_cluster_back(tmp_path: Path, etcd: EtcdCluster) -> None:
    export, export_one = commands("Export and import", "kcp store export")
    import_, import_one = commands("Export and import", "kcp store import")
    root, other = tmp_path / "var/lib/kcp", tmp_path / "var/lib/other"
    for folder in (root, other):
        folder.mkdir(parents=True)
    with Server(root_directory=root, arguments=OWN_MAPS_ONLY) as server:
        await make_objects(server)
        await make_objects(server, "team-a")
        before = {cluster: await objects(server, cluster) for cluster in ("root", "team-a")}
        token = server.token
        said = await done(export, tmp_path)
        assert re.search(r"exported \d+ objects of 2 logical clusters at revision \d+ to ", said)
        seen = await newest(server)
    assert "imported" in await done(import_, tmp_path, etcd)
    with server_over(etcd, root) as server:
        assert server.token == token
        for cluster, expected in before.items():
            assert await objects(server, cluster) == expected
        assert await newest(server) > seen
        assert await is_gone(server, MAPS, seen)
        await done(export_one, tmp_path, etcd)
        seen = await newest(server)
        assert "nothing was written. With --replace" in await refused(import_, tmp_path, etcd)
    with Server(root_directory=other, arguments=OWN_MAPS_ONLY) as server:
        assert (await ask(server, "POST", MAPS, config_map("mine"))).status == 201
        assert "stop the server first" in await refused(import_one, tmp_path)
        mine = (await listed(server, MAPS))["items"]
    await done(import_one, tmp_path)
    assert "of logical cluster team-b exists" in await refused(import_one, tmp_path)
    assert "imported 0 objects" in await done(f"{import_one} --replace", tmp_path)
    # the imported logs keep every invariant
    assert "BROKEN" not in await done("kcp store check --root-directory /var/lib/other", tmp_path)
    assert "BROKEN" not in await done(
        f"kcp store check --etcd-servers {ETCD} --root-directory /var/lib/kcp", tmp_path, etcd
    )
    with Server(root_directory=other, arguments=OWN_MAPS_ONLY) as server:
        assert (await listed(server, MAPS))["items"] == mine
        moved = await objects(server, "team-b")
        # the UIDs of virtual namespaces derive from the log and the logical cluster
        assert stored(moved) == stored(before["team-a"])
        assert await newest(server) > seen
        assert await is_gone(server, f"clusters/team-b/{MAPS}", seen)
        assert (await ask(server, "DELETE", f"clusters/team-b/{GEARS}/g")).status == 200


def stored(held: dict[str, Any]) -> dict[str, Any]:
    """Return the stored ones among some objects."""
    spaces = [space for space in held["api/v1/namespaces"] if space["metadata"]["name"] == "work"]
    return {**held, "api/v1/namespaces": spaces}


async def test_an_etcd_that_is_lost_is_restored_into_a_new_one(tmp_path: Path, etcd: EtcdCluster) -> None:
    save, restore = (commands("Backup and restore", f"kcp snapshot {word}")[1] for word in ("save", "restore"))
    info = commands("Backup and restore", "kcp snapshot info")[1]
    root = tmp_path / "root"
    with server_over(etcd, root) as server:
        await make_objects(server)
        before = await objects(server)
        saved = await done(save, tmp_path, etcd)
        assert await done(info, tmp_path) == saved
        assert "logical clusters: 1\n" in saved
        assert "stop them first" in await refused(f"{restore} --replace", tmp_path, etcd)
        for number in range(50):
            assert (await ask(server, "POST", MAPS, config_map(f"lost{number}"))).status == 201
        seen = await newest(server)
    assert "there is a log below /kcp/ in etcd already" in await refused(restore, tmp_path, etcd)
    for member in etcd.members:
        member.kill()
    new = tmp_path / "new"
    new.mkdir()
    with EtcdCluster(new) as replacement:
        assert "start the servers" in await done(restore, tmp_path, replacement)
        checked = await done(f"kcp store check --etcd-servers {ETCD} --root-directory /nowhere", tmp_path, replacement)
        assert "BROKEN" not in checked
        for folder in (root, tmp_path / "another"):  # one server with a replica of the lost log, and a new one
            with server_over(replacement, folder) as server:
                assert await objects(server) == before
                listed_at = await listed(server, MAPS)
                assert int(listed_at["metadata"]["resourceVersion"]) > seen
                assert all(int(item["metadata"]["resourceVersion"]) > seen for item in listed_at["items"])
                assert await is_gone(server, MAPS, seen)
                assert await is_gone(server, MAPS, 1)
                # the shared token is restored too
                assert (root / "data/admin.token").read_text() == (folder / "data/admin.token").read_text()


async def test_files_of_the_wrong_kind_are_refused(tmp_path: Path, etcd: EtcdCluster) -> None:
    root = tmp_path / "var/lib/kcp"
    root.mkdir(parents=True)
    saves, restores = (commands("Backup and restore", f"kcp snapshot {word}") for word in ("save", "restore"))
    with Server(root_directory=root, arguments=OWN_MAPS_ONLY) as server:
        await make_objects(server)
        await done(saves[0], tmp_path)
    assert "there is no log below /kcp/ in etcd" in await refused(saves[1], tmp_path, etcd)
    await done(f"{commands('Export and import', 'kcp store export')[0].rpartition(' ')[0]} backup.jsonl.gz", tmp_path)
    as_file, as_log = (line.rpartition(" ")[0] for line in restores)
    assert "use kcp store import" in await refused(f"{as_file} backup.jsonl.gz", tmp_path)
    assert "export that log and import it" in await refused(f"{as_log} backup.db", tmp_path, etcd)
    content = bytearray((tmp_path / "backup.jsonl.gz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "backup.jsonl.gz").write_bytes(content)
    assert "is not what was exported" in await refused(restores[1], tmp_path, etcd)
    assert "is not what was exported" in await refused(
        f"{as_log.replace('snapshot restore', 'store import')} backup.jsonl.gz", tmp_path, etcd
    )
    (tmp_path / "other.db").write_bytes(b"something else" * 100)
    assert "is not a snapshot of a log" in await refused(f"{as_file} other.db", tmp_path)


def test_an_unusable_source_or_target_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    cases = {
        ("--root-directory", tmp_path / "none"): "no server has run in",
        ("--etcd-servers", "http://127.0.0.1:1"): "etcd does not answer",
        ("--etcd-servers", "ftp://x"): "--etcd-servers: ftp://x is not an etcd endpoint",
        ("--etcd-servers", "http://x", "--etcd-keyfile", "k"): "must be given together",
    }
    if binary() is None:
        pytest.skip(MISSING)
    for words, said in cases.items():
        result = CliRunner().invoke(main, ["store", "export", *map(str, words), str(file)])
        assert result.exit_code == 1, result.output
        assert said in result.output
        assert result.output.count("\n") == 1
    result = CliRunner().invoke(main, ["store", "import", "--logical-cluster", "No", str(file)])
    assert result.exit_code == 2
    assert "is not a logical cluster name" in result.output
    result = CliRunner().invoke(main, ["store", "import", "--root-directory", str(tmp_path), str(file)])
    assert f"{file}: No such file" in result.output


async def test_objects_over_etcds_request_limit_are_named_with_the_flag_to_raise_it(
    tmp_path: Path, etcd: EtcdCluster
) -> None:
    """etcd accepts 1.5 MB by default; the command can be repeated once the limit is raised."""
    root = tmp_path / "var/lib/kcp"
    root.mkdir(parents=True)
    with Server(root_directory=root, arguments=OWN_MAPS_ONLY) as server:
        assert (await ask(server, "POST", MAPS, config_map("large", data="x" * 2_000_000))).status in (201, 422)
        if (await ask(server, "GET", f"{MAPS}/large")).status != 200:
            assert (await ask(server, "POST", DEFINITIONS[1:], definition("gears", "Gear"))).status == 201
            gear = {"apiVersion": "example.com/v1", "kind": "Gear", "metadata": {"name": "g"}, "text": "x" * 2_000_000}
            assert (await ask(server, "POST", GEARS, gear)).status == 201
    export, import_ = (commands("Export and import", f"kcp store {word}")[0] for word in ("export", "import"))
    await done(export, tmp_path)
    assert "start it with --max-request-bytes=4194304, and repeat" in await refused(import_, tmp_path, etcd)


async def test_no_server_starts_after_an_interrupted_restore(tmp_path: Path, etcd: EtcdCluster) -> None:
    from kcp.store.etcd.client import EtcdClient
    from kcp.store.etcd.layout import Layout

    options = etcd.options("/kcp")
    client = EtcdClient(options.connection)
    await client.repeatedly("Put", PATIENCE, key=Layout(options.prefix).restoring, value=json.dumps({}).encode())
    await client.close()
    with pytest.raises(ServerError, match="a restore below /kcp/ has begun and not ended"):
        server_over(etcd, tmp_path / "root", in_process=False).start()


async def test_an_export_to_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    with Server(root_directory=tmp_path, arguments=OWN_MAPS_ONLY) as server:
        for number in range(20):
            assert (await ask(server, "POST", MAPS, config_map(f"m{number}", text="x" * 50_000))).status == 201
        for name in ("copy.jsonl", "copy.jsonl.gz"):
            words = [
                sys.executable,
                "-m",
                "kcp",
                "store",
                "export",
                "--root-directory",
                str(tmp_path),
                str(tmp_path / name),
            ]
            limited = f"ulimit -f 1; exec {shlex.join(words)}"
            command = ["bash", "-c", limited]
            ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            assert (ended.returncode, ended.stderr) == (1, f"kcp: {tmp_path / name}: File too large\n")
    assert not list(tmp_path.glob("copy*"))
