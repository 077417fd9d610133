"""Namespaces, ConfigMaps, Secrets, ServiceAccounts."""

import base64
from typing import Any

import pytest

from kcp.auth.certificates import new_authority
from kcp.logical_clusters import DEFAULT
from tests.builtin.conftest import Types


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestNamespaces:
    def test_a_new_namespace_is_active_and_labelled_with_its_name(self, types: Types) -> None:
        created = types.create(types("namespaces"), {"metadata": {"name": "team"}, "status": {"phase": "Terminating"}})
        assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
        assert created["spec"] == {"finalizers": ["kubernetes"]}
        assert created["status"] == {"phase": "Active"}

    def test_the_name_of_a_namespace_is_a_dns_label(self, types: Types) -> None:
        found = types.errors(types("namespaces"), {"metadata": {"name": "a.b"}})
        assert found == ['metadata.name: Invalid value: "a.b": must not contain dots']

    def test_finalizers_of_a_namespace_are_qualified_names(self, types: Types) -> None:
        found = types.errors(types("namespaces"), {"spec": {"finalizers": ["mine"]}})
        assert found == [
            'spec.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified'
        ]

    def test_only_the_finalize_subresource_removes_finalizers(self, types: Types) -> None:
        type_ = types("namespaces")
        old = types.create(type_, {"metadata": {"name": "team"}})
        changed = types.update(type_, {"metadata": {"name": "team"}, "spec": {}}, old)
        assert changed["spec"]["finalizers"] == ["kubernetes"]
        finalized = type_.strategy.subresource_updates["finalize"]({"metadata": {"name": "team"}, "spec": {}}, old)
        assert finalized["spec"] == {}
        assert finalized["status"] == old["status"]
        assert type_.strategy.blocks_deletion(old)
        assert not type_.strategy.blocks_deletion(finalized)

    def test_a_namespace_being_deleted_is_terminating(self, types: Types) -> None:
        strategy = types("namespaces").strategy
        old: dict[str, Any] = {"metadata": {"name": "team"}}
        (error,) = strategy.validate_status({"status": {"phase": "Terminating"}}, old)
        assert str(error) == (
            "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
        )
        old["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z"
        assert strategy.validate_status({"status": {"phase": "Terminating"}}, old) == []

    def test_system_namespaces_cannot_be_deleted(self, types: Types) -> None:
        strategy = types("namespaces").strategy
        assert strategy.check_deletable("default") == "this namespace may not be deleted"
        assert strategy.check_deletable("team") is None
        assert [obj["metadata"]["name"] for obj in strategy.virtual_objects(DEFAULT)] == [
            "default",
            "kube-public",
            "kube-system",
        ]


class TestConfigMaps:
    def test_a_key_cannot_be_in_data_and_binary_data(self, types: Types) -> None:
        found = types.errors(types("configmaps"), {"data": {"a": "x"}, "binaryData": {"a": "eA=="}})
        assert found == ['data[a]: Invalid value: "a": duplicate of key present in binaryData']

    def test_keys_of_a_config_map_are_file_names(self, types: Types) -> None:
        (error,) = types.errors(types("configmaps"), {"data": {"a/b": "x"}})
        assert error.startswith('data[a/b]: Invalid value: "a/b": a valid config key must consist of')

    def test_a_config_map_holds_at_most_a_mebibyte(self, types: Types) -> None:
        assert types.errors(types("configmaps"), {"data": {"a": "x" * 1048576}}) == []
        found = types.errors(types("configmaps"), {"data": {"a": "x" * 1048576}, "binaryData": {"b": "eA=="}})
        assert found == ["[]: Too long: may not be more than 1048576 bytes"]

    def test_an_immutable_config_map_cannot_be_changed(self, types: Types) -> None:
        found = types.update_errors(types("configmaps"), {"data": {"a": "2"}}, {"data": {"a": "1"}, "immutable": True})
        why = "Forbidden: field is immutable when `immutable` is set"
        assert found == [f"immutable: {why}", f"data: {why}"]

    def test_null_fields_are_dropped(self, types: Types) -> None:
        created = types.create(types("configmaps"), {"data": {"a": "x"}, "binaryData": None, "immutable": None})
        assert created["data"] == {"a": "x"}
        assert not {"binaryData", "immutable"} & set(created)

    def test_a_row_of_a_config_map_counts_its_keys(self, types: Types) -> None:
        obj = types.create(types("configmaps"), {"data": {"a": "", "b": ""}, "binaryData": {"c": ""}})
        assert types("configmaps").strategy.cells(obj) == [3, "0s"]


class TestSecrets:
    def test_string_data_is_merged_into_data_and_not_stored(self, types: Types) -> None:
        created = types.create(types("secrets"), {"data": {"a": "eA=="}, "stringData": {"a": "new", "b": "é"}})
        assert created["data"] == {"a": encoded("new"), "b": encoded("é")}
        assert "stringData" not in created
        assert created["type"] == "Opaque"

    def test_data_of_a_secret_is_base64(self, types: Types) -> None:
        (error,) = types.errors(types("secrets"), {"data": {"a": "not base64!"}})
        assert error.startswith(("data.a: Invalid value", "data[a]: Invalid value"))

    @pytest.mark.parametrize(
        ("type_", "missing"),
        [
            ("kubernetes.io/tls", ["data[tls.crt]", "data[tls.key]"]),
            ("kubernetes.io/ssh-auth", ["data[ssh-privatekey]"]),
            ("kubernetes.io/basic-auth", ["data[username]", "data[password]"]),
            ("kubernetes.io/dockerconfigjson", ["data[.dockerconfigjson]"]),
            ("kubernetes.io/dockercfg", ["data[.dockercfg]"]),
            ("kubernetes.io/service-account-token", ["metadata.annotations[kubernetes.io/service-account.name]"]),
        ],
    )
    def test_known_types_of_secrets_require_their_keys(self, types: Types, type_: str, missing: list[str]) -> None:
        found = types.errors(types("secrets"), {"type": type_})
        assert found == [f"{path}: Required value" for path in missing]

    def test_a_basic_auth_secret_needs_a_user_name_or_a_password(self, types: Types) -> None:
        assert (
            types.errors(types("secrets"), {"type": "kubernetes.io/basic-auth", "stringData": {"username": "x"}}) == []
        )

    def test_registry_credentials_are_json_and_not_shown(self, types: Types) -> None:
        secret = {"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{secret"}}
        (error,) = types.errors(types("secrets"), secret)
        assert error.startswith('data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": ')

    def test_the_type_of_a_secret_is_immutable(self, types: Types) -> None:
        assert types.update_errors(types("secrets"), {"type": "b"}, {"type": "a"}) == [
            'type: Invalid value: "b": field is immutable'
        ]

    def test_a_secret_holds_at_most_a_mebibyte(self, types: Types) -> None:
        found = types.errors(types("secrets"), {"stringData": {"a": "x" * 1048577}})
        assert found == ["data: Too long: may not be more than 1048576 bytes"]

    def test_secrets_can_be_selected_by_type(self, types: Types) -> None:
        assert types("secrets").strategy.selectable_fields({"type": "a"}) == {"type": "a"}


def test_a_row_of_a_service_account_shows_its_age(types: Types) -> None:
    obj = types.create(types("serviceaccounts"), {"secrets": [{"name": "a"}]})
    assert types("serviceaccounts").strategy.cells(obj) == ["0s"]


def test_base64_may_be_broken_into_lines(types: Types) -> None:
    created = types.create(types("secrets"), {"data": {"a": "YWJj\nZGVm\n", "b": ""}})
    assert created["data"] == {"a": "YWJjZGVm", "b": ""}


class TestWarnings:
    def warnings(self, types: Types, certificate: bytes, key: bytes) -> list[str]:
        data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
        secret = types.create(types("secrets"), {"type": "kubernetes.io/tls", "data": data})
        return list(types("secrets").strategy.warnings(secret, None))

    def test_a_key_that_is_not_the_certificates_is_warned_of(self, types: Types) -> None:
        one, other = new_authority("one"), new_authority("other")
        assert self.warnings(types, *one) == []
        assert self.warnings(types, one.certificate, other.key) == ["tls: private key does not match public key"]
        broken = one.key.replace(b"M", b"!")
        found = self.warnings(types, one.certificate, broken)
        assert found == ["tls: failed to parse the certificate or the private key"]
        assert self.warnings(types, b"x", one.key) == ["tls: failed to find any PEM data in certificate input"]
        assert self.warnings(types, one.certificate, b"") == ["tls: failed to find any PEM data in key input"]

    def test_other_secrets_have_no_warning(self, types: Types) -> None:
        secret = types.create(types("secrets"), {"data": {"tls.crt": "eA==", "tls.key": "eA=="}})
        assert list(types("secrets").strategy.warnings(secret, None)) == []

    def test_the_deprecated_annotation_of_an_account_is_warned_of_once(self, types: Types) -> None:
        strategy = types("serviceaccounts").strategy
        annotated = {"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}
        (warning,) = strategy.warnings(annotated, {"metadata": {}})
        assert warning.startswith("metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+")
        assert list(strategy.warnings(annotated, annotated)) == []
        assert list(strategy.warnings({"metadata": {}}, None)) == []
