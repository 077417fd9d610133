"""``kcp compat`` as CI runs it: its lines, its definitions and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import call
from tests.support.kcp_process import run

WIDGETS = Path(__file__).parents[2] / "examples" / "1-first-crd" / "crd.yaml"
SCHEMA = "spec.versions[v1].schema.openAPIV3Schema.properties[spec]"


def widgets() -> Any:
    return yaml.safe_load(WIDGETS.read_text())


def spec_of(definition: Any) -> Any:
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]


def written(path: Path, *documents: Any) -> str:
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def test_a_compatible_definition_is_exit_code_0_without_output(tmp_path: Path) -> None:
    new = widgets()
    spec_of(new)["properties"]["colour"] = {"type": "string"}
    done = run("compat", str(WIDGETS), written(tmp_path / "new.yaml", new))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_breaks_are_lines_with_paths_and_exit_code_1(tmp_path: Path) -> None:
    new = widgets()
    spec_of(new)["properties"]["size"]["enum"].remove("large")
    spec_of(new)["required"] = ["size", "colour"]
    spec_of(new)["properties"]["colour"] = {"type": "string"}
    done = call("compat", str(WIDGETS), written(tmp_path / "new.yaml", new))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        (
            f'{SCHEMA}.properties[size].enum: values were removed from the enum: "large" '
            '(was ["small","medium","large"], is ["small","medium"])'
        ),
        (
            f"{SCHEMA}.required: the new property colour is required: objects without it are refused "
            '(was ["size"], is ["size","colour"])'
        ),
    ]


def test_a_removed_property_is_a_break_and_left_out_of_the_common_definition(tmp_path: Path) -> None:
    new = widgets()
    del new["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["message"]
    files = (str(WIDGETS), written(tmp_path / "new.yaml", new))
    done = call("compat", *files)
    assert done.returncode == 1
    assert ".properties[status].properties[message]: the property was removed" in done.stdout
    done = call("compat", *files, "--lcd")
    assert (done.returncode, done.stderr) == (0, "")
    common = tmp_path / "common.yaml"
    common.write_text(done.stdout)
    for file in files:
        assert call("compat", str(common), file).returncode == 0


def test_without_a_common_definition_the_reasons_are_on_stderr(tmp_path: Path) -> None:
    new = widgets()
    spec_of(new)["properties"]["size"]["enum"] = ["huge"]
    done = call("compat", "--lcd", str(WIDGETS), written(tmp_path / "new.yaml", new))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{SCHEMA}.properties[size].enum: no value is allowed by both")


def test_files_with_several_definitions_and_other_objects(tmp_path: Path) -> None:
    gadgets = widgets()
    gadgets["metadata"]["name"] = "gadgets.example.com"
    gadgets["spec"]["names"] = {"plural": "gadgets", "kind": "Gadget"}
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    old = written(tmp_path / "old.yaml", other, widgets(), None, gadgets)
    listed = {"apiVersion": "v1", "kind": "List", "items": [widgets()]}
    new = written(tmp_path / "new.yaml", listed)
    done = call("compat", old, new)
    assert (done.returncode, done.stdout) == (1, "gadgets.example.com: the definition was removed\n")
    assert call("compat", new, old).returncode == 0
    done = call("compat", old, old, "--lcd")
    found = [each["metadata"]["name"] for each in yaml.safe_load_all(done.stdout)]
    assert found == ["widgets.example.com", "gadgets.example.com"]


def test_bare_schemas_as_json_from_standard_input(tmp_path: Path) -> None:
    old: Any = {"type": "object", "properties": {"a": {"type": "number"}}}
    new: Any = {"type": "object", "properties": {"a": {"type": "integer"}}}
    (tmp_path / "new.json").write_text(json.dumps(new))
    done = call("compat", "-", str(tmp_path / "new.json"), "-o", "json", stdin=json.dumps(old))
    assert done.returncode == 1
    assert json.loads(done.stdout) == {
        "compatible": False,
        "incompatibilities": [
            {
                "field": "properties[a].type",
                "reason": "values of other types are refused",
                "old": "number",
                "new": "integer",
            }
        ],
    }
    done = call("compat", "-", str(tmp_path / "new.json"), "-o", "json", "--lcd", stdin=json.dumps(old))
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"common": [new], "incompatibilities": []}


BAD = {
    "broken": (b"a: [", "broken: yaml: line"),
    "binary": (b"\xff\xfe\x00\xd8", "binary: "),
    "empty": (b"", "empty: the file has no CustomResourceDefinition and no schema"),
    "other": (b"apiVersion: v1\nkind: ConfigMap\n", "other: the file has no CustomResourceDefinition and no schema"),
    "scalar": (b"7", "scalar: a document is neither a definition nor a schema"),
    "twice": (
        WIDGETS.read_bytes() + b"\n---\n" + WIDGETS.read_bytes(),
        "the definition widgets.example.com is there twice",
    ),
    "schemas": (b"type: object\n---\ntype: object\n", "schemas: the file has more than one schema"),
    "unnamed": (b"kind: CustomResourceDefinition\n", "unnamed: a definition has no name"),
    "older": (
        b"apiVersion: apiextensions.k8s.io/v1beta1\nkind: CustomResourceDefinition\nmetadata: {name: a}\n",
        "older: a is of apiextensions.k8s.io/v1beta1; convert it to apiextensions.k8s.io/v1",
    ),
    "schema": (b"type: object\n", "one file has a schema and the other a definition"),
    "deep": (b"[" * 300 + b"]" * 300, "nested more than 200 levels deep"),
    "invalid": (
        WIDGETS.read_bytes().replace(b"type: integer", b"type: whole"),
        'invalid: spec.validation.openAPIV3Schema.properties[spec].properties[replicas].type: Unsupported value: "whole"',
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_exit_code_2(tmp_path: Path, name: str) -> None:
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content)
    for files in ((name, str(WIDGETS)), (str(WIDGETS), name)):
        done = call("compat", *files, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert words in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument 'OLD'"),
        (("nowhere.yaml", str(WIDGETS)), "nowhere.yaml: No such file or directory"),
        (("-", "-"), "only one of OLD and NEW can be standard input"),
        ((str(WIDGETS), str(WIDGETS), "-o", "xml"), "'xml' is not one of"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = call("compat", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
