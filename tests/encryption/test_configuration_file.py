"""The file of --encryption-provider-config: strict decoding, kube-apiserver's rules and messages, and no secret in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kcp.server.process.encryption_configuration import parse, read
from kcp.store.contract import OptionError
from tests.encryption.files import IDENTITY, configuration, encoded, keys

KMS: dict[str, Any] = {"kms": {"apiVersion": "v2", "name": "k", "endpoint": "unix:///run/kms.sock"}}


def kms(**fields: Any) -> dict[str, Any]:
    return {"kms": {**KMS["kms"], **fields}}


def key(**fields: Any) -> dict[str, Any]:
    return {"aesgcm": {"keys": [{"name": "key1", "secret": encoded(1), **fields}]}}


def rule(resources: list[str], *providers: Any) -> str:
    return configuration((resources, providers or (IDENTITY,)))


PROVIDERS = "resources[0].providers[0]"
REFUSED = {
    "no rule": (configuration(), "resources: Required value: at least one resources is required"),
    "no resource": (rule([]), "resources[0].resources: Required value: at least one resources[0].resources is required"),
    "no provider": (
        configuration((["secrets"], [])),
        "resources[0].providers: Required value: at least one resources[0].providers is required",
    ),
    "an empty provider": (rule(["secrets"], {}), f"{PROVIDERS}: Invalid value: provider does not contain any of the expected"),
    "two providers in one": (
        rule(["secrets"], {**IDENTITY, **key()}),
        f'{PROVIDERS}: Invalid value: ["aesgcm","identity"]: more than one provider specified in a single element',
    ),
    "no keys": (rule(["secrets"], {"aesgcm": {"keys": []}}), f"{PROVIDERS}.aesgcm.keys: Required value: at least one keys"),
    "no name": (rule(["secrets"], key(name="")), f"{PROVIDERS}.aesgcm.keys[0].name: Required value: name is a mandatory"),
    "no secret": (rule(["secrets"], key(secret="")), "keys[0].secret: Required value: secret is a mandatory field for a key"),
    "a number as a secret": (rule(["secrets"], key(secret=80486)), "keys[0].secret in body must be of type string"),
    "no base64": (rule(["secrets"], key(secret="sphinx!")), 'keys[0].secret: Invalid value: "REDACTED": secrets must be base64'),
    "a short key": (
        rule(["secrets"], key(secret=encoded(7, 15))),
        'keys[0].secret: Invalid value: "REDACTED": secret is not of the expected length, got 15, expected one of [16 24 32]',
    ),
    "a short key of secretbox": (
        rule(["secrets"], {"secretbox": {"keys": [{"name": "a", "secret": encoded(7, 16)}]}}),
        "secretbox.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 16, expected",
    ),
    "capitals": (rule(["Secrets"]), "resources[0].resources[0]: Invalid value: \"Secrets\": resource name should not contain"),
    "a star": (rule(["*"]), "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"),
    "across groups": (rule(["secrets.*"]), "encrypting the same resource across groups is not supported"),
    "events": (rule(["events.events.k8s.io"]), "Use 'events' instead in the config file"),
    "extensions": (rule(["ingresses.extensions"]), "'extensions' group has been removed"),
    "internal": (rule(["apiserveripinfo"]), "resources which do not have REST API/s cannot be encrypted"),
    "twice": (rule(["secrets", "secrets"]), "the same resource cannot be specified multiple times"),
    "overlap": (rule(["secrets", "*."]), "using overlapping resources such as 'secrets' and '*.' in the same resource list"),
    "overlap with all": (rule(["secrets", "*.*"]), "using overlapping resources"),
    "masked by all": (
        configuration((["*.*"], [IDENTITY]), (["secrets"], [IDENTITY])),
        'resources[1].resources[0]: Invalid value: "secrets": resource "secrets" is masked by earlier rule "*.*"',
    ),
    "masked by its group": (
        configuration((["*.apps"], [IDENTITY]), (["a.apps"], [IDENTITY])),
        'resource "a.apps" is masked by earlier rule "*.apps"',
    ),
    "kms without a name": (rule(["secrets"], kms(name="")), f"{PROVIDERS}.kms.name: Required value: name is a mandatory field"),
    "kms with a colon": (rule(["secrets"], kms(name="a:b")), "invalid KMS provider name a:b, must not contain ':'"),
    "kms twice": (rule(["secrets"], KMS, KMS), "duplicate KMS provider name k, names must be unique"),
    "kms without endpoint": (rule(["secrets"], kms(endpoint="")), "kms.endpoint: Invalid value: \"\": endpoint is a mandatory"),
    "kms over tcp": (
        rule(["secrets"], kms(endpoint="tcp://a:1")),
        'kms.endpoint: Invalid value: "tcp://a:1": unsupported scheme "tcp" for KMS provider, only unix is supported',
    ),
    "kms timeout": (rule(["secrets"], kms(timeout="0s")), 'timeout: Invalid value: "0s": timeout should be a positive value'),
    "kms timeout without a unit": (rule(["secrets"], kms(timeout="3")), 'timeout: Invalid value: "3": must be a duration'),
    "kms cache": (rule(["secrets"], kms(cachesize=3)), "kms.cachesize: Invalid value: 3: cachesize is not supported in v2"),
    "kms v1": (rule(["secrets"], kms(apiVersion="v1")), 'kms.apiVersion: Invalid value: "v1": KMS v1 is deprecated'),
    "kms v3": (rule(["secrets"], kms(apiVersion="v3")), "unsupported apiVersion"),
    "an unknown field": (
        rule(["secrets"], {"aesgcm": {"keys": [], "size": 1}}),
        f'strict decoding error: unknown field "{PROVIDERS}.aesgcm.size"',
    ),
    "an option of identity": (rule(["secrets"], {"identity": {"a": 1}}), f'unknown field "{PROVIDERS}.identity.a"'),
    "an unknown field at the top": (f"{rule(['secrets'])}more: 1\n", 'strict decoding error: unknown field "more"'),
    "a field twice": (f"{rule(['secrets'])}kind: EncryptionConfiguration\n", 'strict decoding error: duplicate field "kind"'),
    "another type": (f"{rule(['secrets']).replace('- secrets', '- 7')}", "resources[0].resources[0] in body must be"),
    "another kind": ("apiVersion: v1\nkind: Secret\n", "must have kind EncryptionConfiguration and apiVersion apiserver"),
    "no YAML": ("a: [", "not a YAML document: "),
    "nothing": ("", "must be an object of kind EncryptionConfiguration"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=list(REFUSED))
def test_a_file_that_is_wrong_is_refused_with_kubernetes_message(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as raised:
        parse(text.encode())
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert encoded(7, 15) not in str(raised.value)
    assert "sphinx" not in str(raised.value)
    assert "80486" not in str(raised.value)


def test_all_that_is_wrong_is_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"resources\[0\]\.resources\[0\].*resources\[0\]\.providers\[0\]") as raised:
        parse(rule(["Secrets"], key(name="")).encode())
    assert str(raised.value).count("Invalid value") == 1


def test_a_file_that_cannot_be_read_is_refused_with_the_flag(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"^--encryption-provider-config: cannot read .*: No such file"):
        read(tmp_path / "keys.yaml")


def test_rules_keep_their_order_and_no_representation_shows_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(
        configuration((["secrets", "*.apps"], [keys("aescbc", "key1", "key2"), IDENTITY]), (["*.*"], [KMS]))
    )
    first, second = read(file)
    assert first.resources == ("secrets", "*.apps")
    assert [(provider.kind, [key.name for key in provider.keys]) for provider in first.providers] == [
        ("aescbc", ["key1", "key2"]),
        ("identity", []),
    ]
    assert second.providers[0].kms is not None
    assert second.providers[0].kms.timeout == 3.0
    assert str(bytes(range(1, 5)))[2:-1] not in repr(first)


def test_a_timeout_is_a_duration() -> None:
    (found,) = parse(rule(["secrets"], kms(timeout="1m1.5s")).encode())
    assert found.providers[0].kms is not None
    assert found.providers[0].kms.timeout == 61.5
    assert yaml.safe_load(rule(["secrets"]))["kind"] == "EncryptionConfiguration"
