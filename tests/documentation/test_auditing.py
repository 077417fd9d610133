"""The policy and the command of `docs/auditing.md`, run by a real server."""

from __future__ import annotations

import json
import re
import shlex
import urllib.error
from pathlib import Path

import pytest

from tests.documentation.test_readme import ROOT, blocks
from tests.support.commands import call
from tests.support.kcp_process import started
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "auditing.md"


def test_the_command_of_the_page_records_by_its_policy(tmp_path: Path) -> None:
    (policy,) = blocks(PAGE, "yaml")
    (command,) = blocks(PAGE, "sh")
    (tmp_path / "policy.yaml").write_text(policy)
    arguments = shlex.split(command)
    assert arguments[:2] == ["kcp", "start"]
    log = tmp_path / "audit.log"
    with started(Path("root"), *arguments[2:], cwd=tmp_path) as server:
        server.get("/version")
        server.get("/api/v1/namespaces/default/configmaps")
        with pytest.raises(urllib.error.HTTPError):
            server.get("/clusters/other/api/v1/namespaces/default/configmaps/none")
        wait_until(lambda: log.read_text().count("\n") == 2, "two events")
        events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [event["responseStatus"]["code"] for event in events] == [200, 404]
    assert [event["annotations"]["kcp.io/cluster"] for event in events] == ["root", "other"]


def test_the_flags_of_the_page_exist() -> None:
    shown = call("start", "--help").stdout
    named = set(re.findall(r"`(--audit-[a-z-]+)", PAGE.read_text()))
    assert len(named) > 10
    assert {flag for flag in named if flag not in shown} == set()
