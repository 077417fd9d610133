"""One built-in type is one folder with two files, found by listing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import kcp
import kcp.builtin.types
from kcp.api.protobuf import known
from kcp.api.protobuf.messages import SCALARS, WELL_KNOWN, message
from kcp.builtin.loader import BuiltinType, load_groups, load_types
from kcp.schema.definitions.name_validation import is_protected_group
from tests.builtin.conftest import Types

DECLARED = load_types()
TYPES = Path(kcp.builtin.types.__path__[0])

TYPE = """\
spec:
  group: "%s"
  names: {plural: widgets, singular: widget, kind: Widget}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          description: A widget.
          type: object
          properties:
            size: {type: integer, format: int32, description: The size.}
---
Widget:
  metadata: 1 meta.ObjectMeta
  size: 2 int32
"""
STRATEGY = """\
from kcp.builtin.strategy import BuiltinStrategy


class WidgetStrategy(BuiltinStrategy):
    allow_create_on_update = True
"""
PROBE = """\
from kcp.api.protobuf import decode_body, encode_body
from kcp.auth.authentication.bearer_tokens import BearerTokens
from kcp.auth.authorization.constant import ALWAYS_ALLOW
from kcp.auth.authorization.rbac.escalation import EscalationCheck
from kcp.builtin.context import BuiltinContext
from kcp.builtin.registration import builtin_types
from kcp.registry.documents.discovery import DiscoveryDocuments

types = builtin_types(
    BuiltinContext(
        server_uid="",
        created="",
        authorizer=ALWAYS_ALLOW,
        escalation=EscalationCheck(None, ALWAYS_ALLOW),
        tokens=BearerTokens(()),
    )
)
(widgets,) = [type_ for type_ in types if type_.plural == "widgets"]
assert widgets.strategy.allow_create_on_update
group = widgets.group
assert b'"widgets"' in DiscoveryDocuments(types).resources(group, "v1")
widget = {"kind": "Widget", "apiVersion": f"{group}/v1" if group else "v1", "metadata": {"name": "a"}, "size": 3}
assert decode_body(encode_body(widget)) == {**widget, "metadata": {"name": "a"}}
print("served")
"""


@pytest.mark.parametrize(("group", "parent"), [("", "core"), ("gadgets.example.com", "gadgets")])
def test_a_folder_of_two_files_adds_a_type_with_its_strategy_discovery_and_protobuf_form(
    tmp_path: Path, group: str, parent: str
) -> None:
    package = Path(kcp.__file__).parent
    shutil.copytree(package, tmp_path / "kcp", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "kcp/builtin/types" / parent / "widgets"
    folder.mkdir(parents=True)
    (folder / "type.yaml").write_text(TYPE % group)
    (folder / "__init__.py").write_text(STRATEGY)
    probe = subprocess.run(  # noqa: PLW1510 - the assertion shows what went wrong
        [sys.executable, "-c", PROBE], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert (probe.stdout, probe.stderr) == ("served\n", "")


@pytest.mark.parametrize("entry", DECLARED, ids=lambda entry: f"{entry.definition['spec']['names']['kind']}")
def test_a_folder_is_named_after_its_plural_and_lies_in_the_folder_of_its_group(entry: BuiltinType) -> None:
    spec = entry.definition["spec"]
    assert spec["group"] in load_groups() or not _is_of_kubernetes(spec["group"])
    if entry.package is not None:
        *_, group, plural = entry.package.split(".")
        assert plural == spec["names"]["plural"]
        assert group == (spec["group"].partition(".")[0] or "core")


def _is_of_kubernetes(group: str) -> bool:
    return not group or is_protected_group(group)


def test_every_type_has_the_strategy_of_its_folder_and_every_one_of_kubernetes_a_protobuf_form(types: Types) -> None:
    for entry in DECLARED:
        spec = entry.definition["spec"]
        kind = spec["names"]["kind"]
        placeholder = "placeholder" in entry.definition.get("x-kcp", {})
        api_version = f"{spec['group']}/v1" if spec["group"] else "v1"
        assert known(api_version, kind) or placeholder or not _is_of_kubernetes(spec["group"]), kind
        strategy = types(spec["names"]["plural"], spec["group"]).strategy
        own = "Builtin" if entry.package is None else kind
        assert type(strategy).__name__ == f"{own}Strategy", kind


def test_each_message_is_declared_once_and_each_that_is_referred_to_is_there() -> None:
    for file in TYPES.glob("*/messages.json"):
        group = file.parent.name
        for version, declared in json.loads(file.read_text()).items():
            qualifier = group if version == "v1" else f"{group}/{version}"
            assert set(declared["kinds"]) <= set(declared["messages"])
            for name in declared["messages"]:
                for entry in message(f"{qualifier}.{name}").by_number.values():
                    assert entry.type in SCALARS | WELL_KNOWN or message(entry.type), (qualifier, name, entry)
            elsewhere = [*file.parent.glob("*/type.yaml"), file.with_name("group.yaml")]
            seconds = [[*yaml.safe_load_all(each.read_text())][1:] for each in elsewhere if version == "v1"]
            for names in (second[0] for second in seconds if second):
                assert not set(names) & set(declared["messages"]), qualifier
