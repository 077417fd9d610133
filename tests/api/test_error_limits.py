"""Limits on errors: a body full of errors costs little and gets a short response."""

from typing import Any

import pytest

from kcp.api import errors, field_errors, metadata, names, selectors
from kcp.api.kinds import GroupKind

CONFIG_MAP = GroupKind("", "ConfigMap")


def invalid_metadata(**meta: Any) -> Any:
    return metadata.validate_object_meta(
        {"name": "a", **meta}, namespaced=False, name_validator=names.is_dns1123_subdomain
    )


def test_a_status_has_at_most_a_thousand_causes_and_counts_the_others() -> None:
    found = [field_errors.required(f"spec.a[{index}]") for index in range(1_500)]
    status = errors.invalid(CONFIG_MAP, "a", found).status()
    causes = status["details"]["causes"]
    assert len(causes) == 1_001
    assert causes[999] == {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.a[999]"}
    note = "too many errors: the first 1000 are shown, at least 500 more are not"
    assert causes[-1] == {"message": note}
    assert status["message"].endswith(f"spec.a[999]: Required value, {note}]")


def test_a_status_is_limited_in_size() -> None:
    found = [field_errors.invalid(f"spec.a[{index}]", "x" * 5_000, "bad") for index in range(500)]
    status = errors.invalid(CONFIG_MAP, "a", found).status()
    assert len(status["message"]) < 150_000
    assert "at least 473 more are not" in status["message"]


def test_errors_within_the_limits_are_all_shown() -> None:
    found = [field_errors.invalid("data", f"value-{index}", "bad") for index in range(1_000)]
    status = errors.invalid(CONFIG_MAP, "a", found).status()
    assert [cause["message"] for cause in status["details"]["causes"]] == [error.body for error in found]


@pytest.mark.parametrize("value", ["x" * 3_000_000, ["x"] * 1_000_000, {"a": "x" * 3_000_000}])
def test_a_long_value_is_cut(value: Any) -> None:
    text = field_errors.invalid("spec.a", value, "bad").body
    assert len(text) < 8_400
    assert "more characters)" in text
    assert text.endswith(": bad")


def test_a_long_field_path_is_cut() -> None:
    assert len(str(field_errors.required("spec." + "x" * 100_000))) < 8_400


def test_a_long_list_of_supported_values_is_cut() -> None:
    supported = [f"v{index}" for index in range(10_000)]
    text = field_errors.not_supported("spec.a", "x", supported).body
    assert text.endswith('"v248", "v249", and 9750 more')


def test_joined_texts_count_the_others() -> None:
    assert field_errors.join(["a", "b"]) == "a, b"
    assert field_errors.join(["a"] * 1_200).endswith("a, a, and 200 more")


@pytest.mark.parametrize(
    "meta",
    [
        {"labels": {f"bad key {index}": "bad value" for index in range(10_000)}},
        {"annotations": {f"bad key {index}": "" for index in range(10_000)}},
        {"finalizers": [f"bad name {index}" for index in range(10_000)]},
        {"ownerReferences": [{"apiVersion": "v1"}] * 10_000},
        {"ownerReferences": [{"kind": "A", "name": "b", "uid": "c", "controller": True}] * 10_000},
        {"managedFields": [{"operation": "Steal"}] * 10_000},
        {"managedFields": [{"operation": "Update", "manager": "\0" * 10_000}] * 10},
    ],
    ids=["labels", "annotations", "finalizers", "owners", "controllers", "managed fields", "manager"],
)
def test_validation_of_metadata_stops_after_a_thousand_errors(meta: dict[str, Any]) -> None:
    assert 1_000 < len(invalid_metadata(**meta)) < 1_010


def test_validation_of_a_label_selector_stops_after_a_thousand_errors() -> None:
    selector = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["bad value"] * 10_000}] * 10}
    assert 1_000 < len(selectors.validate_label_selector(selector, "spec.selector")) < 1_010


def test_every_further_controller_is_an_error_that_shows_all_owners_once_formatted() -> None:
    owners = [
        {"apiVersion": "v1", "kind": "A", "name": str(index), "uid": "c", "controller": True} for index in range(3)
    ]
    first, second = invalid_metadata(ownerReferences=owners)
    assert first.body.startswith(
        'Invalid value: [{"apiVersion":"v1","controller":true,"kind":"A","name":"0","uid":"c"},'
    )
    assert second.value is first.value


def test_one_bad_key_or_value_among_many_is_found() -> None:
    many = {f"example.com/key-{index}": "value" for index in range(100)}
    assert metadata.validate_labels(many, "metadata.labels") == []
    assert metadata.validate_annotations(many, "metadata.annotations") == []
    (error,) = metadata.validate_labels({**many, "key": "a b"}, "metadata.labels")
    assert error.value == "a b"
    (error,) = metadata.validate_annotations({**many, "a b": ""}, "metadata.annotations")
    assert error.value == "a b"
    (error,) = metadata.validate_annotations({**many, "key": "x" * 256 * 1024}, "metadata.annotations")
    assert error.body == "Too long: may not be more than 262144 bytes"
