"""A server does not start with a dependency that lacks a required feature; one line names the package to replace."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kcp.server.process import listening, requirements
from tests.support.waiting import PATIENCE

CONFIG = "class Config:\n    def __init__(self, *, {options}): ...\n"
SERVER = "class Server:\n    def serve(self): ...\n    def shutdown(self): ...\n    def wait_started(self): ...\n"
OPTIONS = CONFIG.format(options=", ".join(f"{name}=None" for name in sorted(requirements.H2CORN_OPTIONS)))


def start_with(folder: Path, root: Path) -> subprocess.CompletedProcess[str]:
    """Run `kcp start` where a package in the folder takes the place of an installed one."""
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "kcp", "start", "--root-directory", root, "--secure-port", "0"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("source", "library", "missing"),
    [
        (OPTIONS + SERVER, "", "function _lib.emit_banner"),
        (OPTIONS + SERVER.replace("wait_started", "started"), "emit_banner = None", "method Server.wait_started"),
        (OPTIONS.replace("grpc=None, ", "") + SERVER, "emit_banner = None", "option grpc"),
    ],
)
def test_an_http_server_without_a_needed_feature_is_one_line(
    tmp_path: Path, source: str, library: str, missing: str
) -> None:
    (tmp_path / "h2corn").mkdir()
    (tmp_path / "h2corn" / "__init__.py").write_text(source)
    (tmp_path / "h2corn" / "_lib.py").write_text(library)
    ended = start_with(tmp_path, tmp_path / ".kcp")
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("kcp: h2corn ")
    assert f"has no {missing}, which kcp needs: pip install 'h2corn" in line
    assert not (tmp_path / ".kcp").exists()


def test_a_yaml_parser_without_libyaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['yaml._yaml'] = None\n")
    ended = start_with(tmp_path, tmp_path / ".kcp")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("kcp: PyYAML is installed without libyaml")


def test_every_option_that_is_set_is_checked() -> None:
    tree = ast.parse(Path(listening.__file__).read_text())
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "h2corn.Config"
    ]
    assert [{keyword.arg for keyword in call.keywords} for call in calls] == [requirements.H2CORN_OPTIONS]
