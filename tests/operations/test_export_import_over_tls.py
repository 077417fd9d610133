"""Every command about a log, over an etcd behind TLS whose users have client certificates or passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.etcd import MISSING, binary
from kcp.store.sqlite.tables import RESTORED_SKIP
from kcp.testing import Server
from tests.operations.test_export_import import (
    MAPS,
    OWN_MAPS_ONLY,
    ask,
    is_gone,
    make_objects,
    newest,
    objects,
    stored,
)
from tests.store.etcd.secured import SecuredEtcd
from tests.support.commands import kcp
from tests.support.objects import config_map

PASSWORD = "open sesame"


@dataclass
class Place:
    """An etcd, and the flags with which its user ``kcp`` is accepted."""

    etcd: SecuredEtcd
    flags: list[str]


@pytest.fixture(params=["certificate", "password"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A running etcd whose users have client certificates or passwords."""
    if binary() is None or binary("etcdctl") is None:
        pytest.skip(MISSING)
    folder = tmp_path / "etcd"
    folder.mkdir()
    by_certificate = request.param == "certificate"
    with SecuredEtcd(folder, client_certificates=by_certificate) as etcd:
        etcd.require_users(None if by_certificate else PASSWORD)
        flags = ["--etcd-servers", etcd.urls[0], "--etcd-cafile", str(etcd.authority_file)]
        if by_certificate:
            certificate, key = etcd.identity("kcp")
            flags += ["--etcd-certfile", str(certificate), "--etcd-keyfile", str(key)]
        else:
            (folder / "password").write_text(PASSWORD + "\n")
            flags += ["--etcd-username", "kcp", "--etcd-password-file", str(folder / "password")]
        yield Place(etcd, flags)


async def done(*words: str | Path) -> str:
    """Return the output of a command, which must succeed."""
    result = await kcp(*words)
    assert result.exit_code == 0, result.output
    return result.output


async def test_a_log_goes_into_etcd_and_back(tmp_path: Path, place: Place) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    everything, again, one = (tmp_path / name for name in ("everything.jsonl.gz", "again.jsonl.gz", "one.jsonl"))
    for folder in (first, second):
        folder.mkdir()
    with Server(root_directory=first, arguments=OWN_MAPS_ONLY) as server:
        await make_objects(server)
        await make_objects(server, "team-a")
        before = {cluster: await objects(server, cluster) for cluster in ("root", "team-a")}
        await done("store", "export", "--root-directory", first, everything)
    assert "imported" in await done("store", "import", *place.flags, everything)
    with Server(root_directory=first, arguments=[*OWN_MAPS_ONLY, *place.flags]) as server:
        assert {cluster: await objects(server, cluster) for cluster in before} == before
        assert "0 violations" in await done("store", "check", "--root-directory", first, *place.flags)
        await done("store", "export", *place.flags, again)
        await done("store", "export", *place.flags, "--logical-cluster", "team-a", one)
        exported_at = await newest(server)
        await done(
            "store", "import", *place.flags, "--logical-cluster", "team-b", one
        )  # nothing was written since the export
        assert await is_gone(server, MAPS, exported_at)
        assert stored(await objects(server, "team-b")) == stored(before["team-a"])
        seen = await newest(server)
    await done("store", "import", "--root-directory", second, again)
    await done("store", "import", "--root-directory", second, "--logical-cluster", "team-c", one)
    assert "0 violations" in await done("store", "check", "--root-directory", second)
    with Server(root_directory=second, arguments=OWN_MAPS_ONLY) as server:
        assert {cluster: await objects(server, cluster) for cluster in before} == before
        assert stored(await objects(server, "team-c")) == stored(before["team-a"])
        assert await newest(server) > seen
        assert (await ask(server, "GET", f"clusters/team-b/{MAPS}/m0")).status == 404, "it was exported before that"


async def test_a_snapshot_is_saved_and_put_back(tmp_path: Path, place: Place) -> None:
    copy = tmp_path / "copy.jsonl.gz"
    (tmp_path / "root").mkdir()
    with Server(root_directory=tmp_path / "root", arguments=[*OWN_MAPS_ONLY, *place.flags]) as server:
        await make_objects(server)
        before = await objects(server)
        said = await done("snapshot", "save", *place.flags, copy)
        assert await done("snapshot", "info", copy) == said
        (saved_at,) = re.findall(r"^revision: (\d+)$", said, re.MULTILINE)
        assert "stop them first" in (await kcp("snapshot", "restore", "--replace", *place.flags, copy)).output
        assert (await ask(server, "POST", MAPS, config_map("lost"))).status == 201
        seen = await newest(server)
    refused = await kcp("snapshot", "restore", *place.flags, copy)
    assert (refused.exit_code, "there is a log below /kcp/ in etcd already" in refused.output) == (1, True)
    assert "start the servers" in await done("snapshot", "restore", "--replace", *place.flags, copy)
    with Server(root_directory=tmp_path / "root", arguments=[*OWN_MAPS_ONLY, *place.flags]) as server:
        assert await objects(server) == before
        assert await newest(server) > int(saved_at) + RESTORED_SKIP
        assert await is_gone(server, MAPS, seen)
        assert "0 violations" in await done("store", "check", "--root-directory", tmp_path / "root", *place.flags)


COMMANDS = {
    ("snapshot", "save"): 1,
    ("snapshot", "restore"): 1,
    ("store", "export"): 1,
    ("store", "import"): 1,
    ("store", "check"): 2,
}
"""The commands that use etcd, and their exit codes when it refuses them."""


def replaced(flags: list[str], flag: str, value: str | Path | None) -> list[str]:
    """Return flags with another value of one of them, or without it."""
    where = flags.index(flag)
    return [*flags[:where], *(() if value is None else (flag, str(value))), *flags[where + 2 :]]


def refusals(place: Place, folder: Path) -> Iterator[tuple[list[str], str]]:
    """Flags that etcd refuses, and the expected messages."""
    etcd, flags = place.etcd, place.flags
    other_authority = SecuredEtcd.another_authority(folder)
    yield replaced(flags, "--etcd-cafile", other_authority.file), "--etcd-cafile: by "
    if "--etcd-username" in flags:
        (folder / "wrong").write_text("wrong")
        without = replaced(replaced(flags, "--etcd-username", None), "--etcd-password-file", None)
        yield replaced(flags, "--etcd-password-file", folder / "wrong"), "the password in --etcd-password-file"
        yield replaced(flags, "--etcd-password-file", folder / "none"), "--etcd-password-file: cannot read "
        yield replaced(flags, "--etcd-username", "nobody"), "the password in --etcd-password-file"
        yield without, "give --etcd-username and --etcd-password-file"
        yield (
            replaced(flags, "--etcd-username", None),
            "--etcd-username and --etcd-password-file must be given together",
        )
        return
    certificate, key = etcd.identity("foreign", other_authority)
    without = replaced(replaced(flags, "--etcd-certfile", None), "--etcd-keyfile", None)
    yield without, "--etcd-certfile: https://127.0.0.1:"
    yield (
        replaced(replaced(flags, "--etcd-certfile", certificate), "--etcd-keyfile", key),
        "--etcd-certfile: https://127.0.",
    )
    yield replaced(flags, "--etcd-keyfile", key), "--etcd-keyfile: "
    yield replaced(flags, "--etcd-keyfile", None), "--etcd-certfile and --etcd-keyfile must be given together"
    certificate, key = etcd.identity("nobody")
    nobody = replaced(replaced(flags, "--etcd-certfile", certificate), "--etcd-keyfile", key)
    yield nobody, "the user of --etcd-username or --etcd-certfile needs a role"
    yield [*flags, "--etcd-prefix", "/elsewhere"], "that may read and write below --etcd-prefix"


async def test_refused_credentials_are_one_line_that_names_the_flag(tmp_path: Path, place: Place) -> None:
    with Server(root_directory=tmp_path, arguments=OWN_MAPS_ONLY) as server:
        await make_objects(server)
        await done("store", "export", "--root-directory", tmp_path, tmp_path / "file.jsonl")
    for flags, message in refusals(place, tmp_path):
        for command, code in COMMANDS.items():
            file = [] if command == ("store", "check") else [tmp_path / "file.jsonl"]
            if command in (("snapshot", "save"), ("store", "export")):
                file = [tmp_path / "new.jsonl"]
            result = await kcp(*command, *flags, *file)
            assert result.exit_code == code, (command, result.output)
            assert message in result.output, (command, result.output)
            assert result.output.startswith("kcp: ")
            assert result.output.count("\n") == 1
            assert not (tmp_path / "new.jsonl").exists()
