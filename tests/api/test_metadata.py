"""ObjectMeta: types as in Go's decoder, validation on create and on update, and generated values."""

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest

from kcp.api import metadata, names, times
from kcp.api.errors import StatusError


def errors_of(**meta: Any) -> Any:
    given = {"name": "a", "namespace": "default", **meta}
    metadata.check_meta_types(given)
    found = metadata.validate_object_meta(given, namespaced=True, name_validator=names.is_dns1123_subdomain)
    return [str(error) for error in found]


def test_typical_metadata_is_valid() -> None:
    assert not errors_of(
        labels={"app": "x", "example.com/a": ""},
        annotations={"Example.COM/A": "anything at all"},
        ownerReferences=[{"apiVersion": "apps/v1", "kind": "A", "name": "a", "uid": "u", "controller": True}],
        finalizers=["example.com/a", "orphan"],
        managedFields=[{"manager": "kubectl", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1"}],
        generation=1,
    )


def test_a_name_is_required() -> None:
    assert errors_of(name="") == ["metadata.name: Required value: name or generateName is required"]


def test_the_prefix_of_a_generated_name_is_validated() -> None:
    assert errors_of(generateName="abc-") == []
    assert errors_of(generateName="Abc-")[0].startswith(
        'metadata.generateName: Invalid value: "Abc-": a lowercase RFC 1123'
    )


def test_only_namespaced_types_have_a_namespace() -> None:
    assert errors_of(namespace="")[0] == "metadata.namespace: Required value"
    found = metadata.validate_object_meta(
        {"name": "a", "namespace": "b"}, namespaced=False, name_validator=names.is_dns1123_subdomain
    )
    assert [str(error) for error in found] == ["metadata.namespace: Forbidden: not allowed on this type"]


def test_keys_and_values_of_labels_are_validated() -> None:
    found = errors_of(labels={"-a": "b/c"})
    assert found[0].startswith('metadata.labels: Invalid value: "-a": name part must consist')
    assert found[1].startswith('metadata.labels: Invalid value: "b/c": a valid label must be')


@pytest.mark.parametrize(
    ("letter", "count", "fits"), [("x", 262_143, True), ("x", 262_144, False), ("é", 131_072, False)]
)
def test_annotations_are_limited_to_256_kibibytes(letter: str, count: int, fits: bool) -> None:
    found = errors_of(annotations={"a": letter * count})
    assert found == ([] if fits else ["metadata.annotations: Too long: may not be more than 262144 bytes"])


def test_owner_references_are_complete() -> None:
    assert errors_of(ownerReferences=[{"apiVersion": "a/b/c"}]) == [
        'metadata.ownerReferences[0].apiVersion: Invalid value: "a/b/c": must be <group>/<version> or <version>',
        "metadata.ownerReferences[0].kind: Required value: must not be empty",
        "metadata.ownerReferences[0].name: Required value: must not be empty",
        "metadata.ownerReferences[0].uid: Required value: must not be empty",
    ]


def test_events_cannot_be_owners() -> None:
    (found,) = errors_of(ownerReferences=[{"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "u"}])
    assert found.endswith("/v1, Kind=Event is disallowed from being an owner")


def test_only_one_owner_is_the_controller() -> None:
    owner = {"apiVersion": "v1", "kind": "A", "uid": "u", "controller": True}
    (found,) = errors_of(ownerReferences=[owner | {"name": "a"}, owner | {"name": "b"}])
    assert found.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for A/a and A/b'
    )


def test_orphan_and_foreground_deletion_exclude_each_other() -> None:
    (found,) = errors_of(finalizers=["orphan", "foregroundDeletion"])
    assert found.endswith("finalizer orphan and foregroundDeletion cannot be both set")


def test_managed_fields_have_a_known_operation() -> None:
    assert errors_of(managedFields=[{"manager": "a\x07", "operation": "Steal", "fieldsType": "V0"}]) == [
        'metadata.managedFields[0].operation: Unsupported value: "Steal": supported values: "Apply", "Update"',
        'metadata.managedFields[0].fieldsType: Invalid value: "V0": must be `FieldsV1`',
        'metadata.managedFields[0].manager: Invalid value: "a\\u0007": invalid character U+0007 (at position 1)',
    ]


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("name", 1, "number into ObjectMeta.metadata.name of type string"),
        ("uid", {}, "object into ObjectMeta.metadata.uid of type types.UID"),
        ("labels", [], "array into ObjectMeta.metadata.labels of type map[string]string"),
        ("labels", {"a": 1}, "number into ObjectMeta.metadata.labels of type string"),
        ("annotations", {"a": True}, "bool into ObjectMeta.metadata.annotations of type string"),
        ("finalizers", [1], "number into ObjectMeta.metadata.finalizers of type string"),
        ("generation", 1.5, "number 1.5 into ObjectMeta.metadata.generation of type int64"),
        ("generation", True, "bool into ObjectMeta.metadata.generation of type int64"),
        ("ownerReferences", ["a"], "string into ObjectMeta.metadata.ownerReferences of type v1.OwnerReference"),
        ("ownerReferences", [{"controller": "x"}], "string into OwnerReference.metadata.ownerReferences.controller of type bool"),
    ],
)  # fmt: skip
def test_other_json_types_have_the_messages_of_go_decoding(member: str, value: Any, message: str) -> None:
    kind, field = message.split(" into ")
    with pytest.raises(StatusError) as refused:
        metadata.check_meta_types({member: value}, "decoding: ")
    assert refused.value.code == 400
    assert str(refused.value) == f"decoding: json: cannot unmarshal {kind} into Go struct field {field}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("soon", 'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"'),
        (1, "json: cannot unmarshal number into Go value of type string"),
    ],
)
def test_timestamps_are_rfc_3339(value: Any, message: str) -> None:
    with pytest.raises(StatusError) as refused:
        metadata.check_meta_types({"creationTimestamp": value})
    assert (refused.value.code, str(refused.value)) == (400, message)


def test_nulls_are_normalized_as_in_go() -> None:
    meta = {
        "name": "a",
        "labels": {"a": None},
        "creationTimestamp": None,
        "finalizers": [None],
        "ownerReferences": [None, {"kind": None}],
    }
    metadata.check_meta_types(meta)
    assert meta == {"name": "a", "labels": {"a": ""}, "finalizers": [""], "ownerReferences": [{}, {}]}


def test_immutable_metadata() -> None:
    old = {"name": "a", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 2}
    assert metadata.validate_object_meta_update(old, old) == []
    assert metadata.validate_object_meta_update({**old, "creationTimestamp": "2026-01-01T01:00:00+01:00"}, old) == []
    new = {"name": "b", "namespace": "m", "uid": "v", "generation": 1, "deletionGracePeriodSeconds": 3}
    assert [str(error) for error in metadata.validate_object_meta_update(new, old)] == [
        "metadata.generation: Invalid value: 1: must not be decremented",
        'metadata.name: Invalid value: "b": field is immutable',
        'metadata.namespace: Invalid value: "m": field is immutable',
        'metadata.uid: Invalid value: "v": field is immutable',
        "metadata.creationTimestamp: Invalid value: null: field is immutable",
        "metadata.deletionGracePeriodSeconds: Invalid value: 3: field is immutable",
    ]


def test_no_finalizers_are_added_while_an_object_is_being_deleted() -> None:
    old = {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b", "c/d"]}
    assert metadata.validate_object_meta_update({**old, "finalizers": ["c/d"]}, old) == []
    (found,) = metadata.validate_object_meta_update({**old, "finalizers": ["c/d", "x/y"]}, old)
    assert str(found) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"x/y"}'
    )


def test_generated_names_end_in_five_random_characters() -> None:
    assert re.fullmatch("abc-[bcdfghjklmnpqrstvwxz2456789]{5}", metadata.generate_name("abc-"))
    assert len(metadata.generate_name("x" * 100)) == 63


def test_uids_are_distinct_random_uuids() -> None:
    drawn = [metadata.new_uid() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert all(
        uuid.UUID(uid).version == 4 and uuid.UUID(uid).variant == uuid.RFC_4122 and len(uid) == 36 for uid in drawn
    )


def test_times_are_rfc_3339() -> None:
    assert metadata.parse_time(metadata.now()).utcoffset() == timedelta(0)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", metadata.micro_time())
    assert metadata.parse_time("2026-01-02T03:04:05.123456789Z").microsecond == 123456
    for text, why in [
        ("2026-01-02", 'cannot parse "" as "T"'),
        ("2026-01-02 03:04:05Z", 'cannot parse " 03:04:05Z" as "T"'),
        ("2026-01-02T03:04:05", 'cannot parse "" as "Z07:00"'),
        ("2026-01-02T03:04:05Zx", 'extra text: "x"'),
        ("2026-13-02T03:04:05Z", "month must be in 1..12"),
    ]:
        with pytest.raises(ValueError, match=re.escape(why)):
            metadata.parse_time(text)


def test_years_before_1000_have_four_digits() -> None:
    moment = metadata.parse_time("0001-01-01T01:00:02.5+01:00")
    assert times.whole_time(moment) == "0001-01-01T00:00:02Z"
    assert times.micro_time(moment) == "0001-01-01T00:00:02.500000Z"
