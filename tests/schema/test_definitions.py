"""Validation of CustomResourceDefinitions."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from kcp.schema.definitions import (
    default_definition,
    definition_warnings,
    validate_definition,
    validate_definition_update,
)
from tests.support import objects

Definition = dict[str, Any]
STRING = {"type": "string"}


def definition(schema: dict[str, Any] | None = None, **version: Any) -> Definition:
    raw = {"type": "object", "properties": {"spec": schema or {"type": "object"}}}
    made = objects.definition(
        "widgets", "Widget", schema=raw, version=version, names={"plural": "widgets", "kind": "Widget"}
    )
    default_definition(made)
    return made


def problems(made: Definition) -> list[str]:
    return [str(error) for error in validate_definition(made)]


def test_names_conversion_and_stored_versions_are_filled_in() -> None:
    made = definition()
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    assert made["spec"]["names"] == names
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"] == {"storedVersions": ["v1"]}
    assert problems(made) == []


def test_the_name_is_plural_and_group() -> None:
    made = definition()
    made["metadata"]["name"] = "gadgets.example.com"
    why = 'metadata.name: Invalid value: "gadgets.example.com": must be spec.names.plural+"."+spec.group'
    assert problems(made) == [why]


def test_the_core_group_is_written_core_in_the_name() -> None:
    made = definition()
    made["spec"]["group"] = ""
    made["metadata"]["name"] = "widgets.core"
    assert problems(made) == []
    made["metadata"]["name"] = "widgets."
    assert "spec.group: Required value" in problems(made)


def test_groups_have_a_dot() -> None:
    made = definition()
    made["spec"]["group"] = "example"
    made["metadata"]["name"] = "widgets.example"
    assert problems(made) == ['spec.group: Invalid value: "example": should be a domain with at least one dot']


@pytest.mark.parametrize("group", ["apps", "autoscaling", "batch", "extensions", "policy"])
def test_kubernetes_own_groups_without_a_dot_are_taken_with_an_approval(group: str) -> None:
    made = definition()
    made["spec"]["group"] = group
    made["metadata"]["name"] = f"widgets.{group}"
    (found,) = problems(made)
    assert found.startswith("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must")
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, served without a controller"}
    assert problems(made) == []


def test_the_communitys_groups_need_approval() -> None:
    made = definition()
    made["spec"]["group"] = "widgets.k8s.io"
    made["metadata"]["name"] = "widgets.widgets.k8s.io"
    (found,) = problems(made)
    assert found.startswith("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must")
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "no"}
    (found,) = problems(made)
    assert found.startswith('metadata.annotations[api-approved.kubernetes.io]: Invalid value: "no": ')
    for annotation in ("https://github.com/kubernetes/kubernetes/pull/1", "unapproved, experimental"):
        made["metadata"]["annotations"] = {"api-approved.kubernetes.io": annotation}
        assert problems(made) == []


def test_names_are_labels_and_kinds_may_be_camel_case() -> None:
    made = definition()
    made["spec"]["names"].update(kind="Wid_get", listKind="Wid_get", shortNames=["W"], categories=["a b"])
    fields = [text.partition(":")[0] for text in problems(made)]
    assert fields == [
        "spec.names.kind",
        "spec.names.listKind",
        "spec.names.shortNames[0]",
        "spec.names.listKind",
        "spec.names.categories[0]",
    ]


def test_exactly_one_version_is_stored_and_names_are_unique() -> None:
    made = definition()
    made["spec"]["versions"].append(copy.deepcopy(made["spec"]["versions"][0]))
    texts = [error.detail for error in validate_definition(made)]
    assert texts == ["must contain unique version names", "must have exactly one version marked as storage version"]


def test_each_version_has_a_schema() -> None:
    made = definition()
    del made["spec"]["versions"][0]["schema"]
    assert problems(made) == ["spec.versions[0].schema.openAPIV3Schema: Required value"]


def test_scope_and_unknown_fields() -> None:
    made = definition()
    made["spec"]["scope"] = "Galaxy"
    made["spec"]["preserveUnknownFields"] = True
    assert problems(made) == [
        'spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
        (
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, "
            "set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        ),
    ]


SCHEMA = "spec.validation.openAPIV3Schema.properties[spec]"
SCHEMA_CASES = [
    (
        {"type": "strong"},
        f'{SCHEMA}.type: Unsupported value: "strong": supported values: "array", "boolean", "integer"',
    ),
    ({**STRING, "$ref": "#/x"}, f"{SCHEMA}.$ref: Forbidden: $ref is not supported"),
    (
        {"type": "array", "items": STRING, "uniqueItems": True},
        f"{SCHEMA}.uniqueItems: Forbidden: uniqueItems cannot be set",
    ),
    (
        {"type": "object", "properties": {"a": STRING}, "additionalProperties": STRING},
        f"{SCHEMA}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
    ),
    ({**STRING, "x-kubernetes-list-type": "set"}, f'{SCHEMA}.type: Invalid value: "string": must be array if'),
    (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
        f"{SCHEMA}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
    ),
    (
        {
            "type": "array",
            "items": {"type": "object", "properties": {"name": STRING}},
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        (
            f"{SCHEMA}.items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, "
            "so it must have a default or be a required property"
        ),
    ),
    (
        {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"},
        f"{SCHEMA}.items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list",
    ),
    ({**STRING, "default": 5}, f'{SCHEMA}.default: Invalid value: "integer": '),
    (
        {"type": "object", "properties": {"a": STRING}, "default": {"b": 1}},
        f'{SCHEMA}.default: Invalid value: {{"b":1}}: must not have unknown fields',
    ),
    (
        {"type": "object", "properties": {"a": {"type": "integer"}}, "default": {"a": "x"}},
        f'{SCHEMA}.default.a: Invalid value: "string": ',
    ),
]


@pytest.mark.parametrize(("schema", "message"), SCHEMA_CASES)
def test_a_schema_that_is_not_supported_is_explained(schema: dict[str, Any], message: str) -> None:
    (found,) = problems(definition(schema))
    assert found.startswith(message)


def ruled(*rules: dict[str, Any], **schema: Any) -> Definition:
    return definition(
        {"type": "object", "properties": {"a": STRING}, "x-kubernetes-validations": list(rules), **schema}
    )


def test_rules_are_compiled_when_the_definition_arrives() -> None:
    (found,) = problems(ruled({"rule": "self.b == 'x'"}))
    prefix = f'{SCHEMA}.x-kubernetes-validations[0].rule: Invalid value: {{"rule":"self.b == \'x\'"}}: '
    assert found.startswith(prefix + "compilation failed: ERROR: <input>:1:5: ")
    (found,) = problems(ruled({"rule": "self.a"}))
    assert found.endswith("cel expression must evaluate to a bool")
    (found,) = problems(ruled({"rule": "true", "messageExpression": "5"}))
    assert found.endswith("messageExpression must evaluate to a string")


RULE_CASES = [
    ({"rule": " "}, "rule: Required value: rule is not specified"),
    ({"rule": "true", "message": " "}, 'message: Invalid value: " ": must be non-empty if specified'),
    ({"rule": "true", "message": "a\nb"}, 'message: Invalid value: "a\\nb": must not contain line breaks'),
    ({"rule": "true\n&& true"}, "message: Required value: message must be specified if rule contains line breaks"),
    ({"rule": "true", "reason": "Because"}, 'reason: Unsupported value: "Because": supported values: '),
    ({"rule": "true", "fieldPath": ".b"}, 'fieldPath: Invalid value: ".b": must be a valid path'),
    (
        {"rule": "true", "optionalOldSelf": True},
        "optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used",
    ),
]


@pytest.mark.parametrize(("rule", "message"), RULE_CASES)
def test_the_parts_of_a_rule_are_checked(rule: dict[str, Any], message: str) -> None:
    (found,) = problems(ruled(rule))
    assert found.startswith(f"{SCHEMA}.x-kubernetes-validations[0].{message}")


def test_transition_rules_need_a_place_that_can_be_compared() -> None:
    item = {**STRING, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}
    (found,) = problems(definition({"type": "array", "maxItems": 5, "items": item}))
    why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {SCHEMA}"
    assert found == f'{SCHEMA}.items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": {why}'


SCALE = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def test_scale_paths_point_into_spec_and_status() -> None:
    assert problems(definition(subresources={"status": {}, "scale": SCALE})) == []
    scale = {"specReplicasPath": ".status.x", "statusReplicasPath": "status", "labelSelectorPath": ".other.x"}
    assert problems(definition(subresources={"scale": scale})) == [
        'spec.subresources.scale.specReplicasPath: Invalid value: ".status.x": should be a json path under .spec',
        'spec.subresources.scale.statusReplicasPath: Invalid value: "status": must be a simple json path starting with .',
        (
            'spec.subresources.scale.labelSelectorPath: Invalid value: ".other.x": '
            "should be a json path under either .spec or .status"
        ),
    ]


def test_printer_columns_have_a_known_type_and_a_path() -> None:
    columns = [{"name": "", "type": "text", "format": "long", "jsonPath": "spec"}]
    fields = [text.partition(":")[0] for text in problems(definition(additionalPrinterColumns=columns))]
    assert fields == [f"spec.additionalPrinterColumns[0].{name}" for name in ("name", "type", "format", "JSONPath")]


def test_selectable_fields_are_few_scalars_of_the_schema() -> None:
    declared = {f"f{index}": STRING for index in range(9)}
    schema = {"type": "object", "properties": {**declared, "list": {"type": "array", "items": STRING}}}
    eight = [{"jsonPath": f".spec.f{index}"} for index in range(8)]
    assert problems(definition(schema, selectableFields=eight)) == []
    nine = [*eight, {"jsonPath": ".spec.f8"}]
    assert problems(definition(schema, selectableFields=nine)) == [
        "spec.selectableFields: Too many: 9: must have at most 8 items"
    ]
    wrong = [{"jsonPath": ".spec.list"}, {"jsonPath": ".spec.gone"}, {"jsonPath": ".spec['f1']"}, {}]
    details = [error.detail for error in validate_definition(definition(schema, selectableFields=wrong))]
    assert details[1:] == [
        "is an invalid path: does not refer to a valid field",
        "is an invalid path: array notation is not allowed",
        "",
    ]
    assert details[0].startswith("must point to a field of type string, boolean or integer.")


def test_conversion_by_webhook_is_accepted_and_checked() -> None:
    made = definition()
    service = {"name": "w", "namespace": "n", "path": "/convert"}
    webhook = {"conversionReviewVersions": ["v1"], "clientConfig": {"service": service}}
    made["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
    assert problems(made) == []
    made["spec"]["conversion"]["webhook"] = {"conversionReviewVersions": ["v9"], "clientConfig": {"url": "http://x"}}
    assert problems(made) == [
        (
            "spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; "
            "desired format: https://host[/path]"
        ),
        'spec.conversion.conversionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1',
    ]
    made["spec"]["conversion"] = {"strategy": "None", "webhook": webhook}
    assert [error.type for error in validate_definition(made)] == ["FieldValueForbidden"] * 2


def test_deprecation_warnings_are_for_deprecated_versions() -> None:
    (found,) = problems(definition(deprecationWarning="use v2"))
    assert found.endswith("can only be set for deprecated versions")
    assert problems(definition(deprecated=True, deprecationWarning="use v2")) == []


def test_versions_that_differ_are_reported_one_by_one() -> None:
    made = definition()
    other = copy.deepcopy(made["spec"]["versions"][0])
    other.update(name="v2", storage=False)
    other["schema"]["openAPIV3Schema"]["properties"]["spec"] = {}
    made["spec"]["versions"].append(other)
    (found,) = problems(made)
    assert found.startswith("spec.versions[1].schema.openAPIV3Schema.properties[spec].type: Required value")


def test_stored_versions_must_stay_listed() -> None:
    made = definition()
    made["status"]["storedVersions"] = ["v0"]
    texts = problems(made)
    assert texts[0] == 'status.storedVersions: Invalid value: ["v0"]: must have the storage version v1'
    assert texts[1].startswith('status.storedVersions[0]: Invalid value: "v0": missing from spec.versions; v0 was')


def test_an_established_definition_keeps_its_identity() -> None:
    old = definition()
    new = copy.deepcopy(old)
    new["spec"].update(scope="Cluster", group="other.com")
    new["spec"]["names"].update(kind="Gadget", plural="gadgets")
    fields = [error.field for error in validate_definition_update(new, old)]
    assert fields == ["spec.group", "spec.names.plural"]
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    fields = [error.field for error in validate_definition_update(new, old)]
    assert fields == ["spec.scope", "spec.names.kind", "spec.group", "spec.names.plural"]


def test_an_update_may_keep_a_type_that_was_never_known() -> None:
    old = definition({"type": "strong"})
    new = copy.deepcopy(old)
    new["spec"]["names"]["shortNames"] = ["w"]
    assert validate_definition_update(new, old) == []


def test_expensive_rules_are_refused_unless_they_were_there_before() -> None:
    rule = {"rule": "self.all(a, self.all(b, a == b))"}
    old = definition({"type": "array", "items": STRING, "x-kubernetes-validations": [rule]})
    first, *_ = problems(old)
    assert first.startswith(
        f"{SCHEMA}.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor"
    )
    new = copy.deepcopy(old)
    new["spec"]["names"]["shortNames"] = ["w"]
    assert not any("estimated rule cost exceeds" in str(error) for error in validate_definition_update(new, old))


def test_formats_that_mean_nothing_are_warned_about_once() -> None:
    odd = {
        "type": "object",
        "properties": {"a": {**STRING, "format": "int33"}, "b": {"type": "integer", "format": "int64"}},
    }
    made = definition(odd)
    assert problems(made) == []
    assert definition_warnings(made) == ['unrecognized format "int33"']
    assert definition_warnings(made, made) == []


def test_sets_of_objects_are_warned_about() -> None:
    items = {"type": "object", "x-kubernetes-map-type": "atomic"}
    made = definition({"type": "array", "items": items, "x-kubernetes-list-type": "set"})
    (warning,) = definition_warnings(made)
    assert warning.startswith('x-kubernetes-list-type: set for items of type "object" is not supported')


JUNK: list[Any] = [None, 1, "x", [], {}, [1], {"a": 1}, True, 1.5, [[]], [{}], "."]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*path, key))


def test_a_definition_with_junk_anywhere_is_judged_all_the_same() -> None:
    bounds = {"type": "integer", "minimum": 1, "maximum": 3, "multipleOf": 1, "format": "int32", "default": 2}
    text = {**STRING, "maxLength": 3, "minLength": 1, "pattern": "^a", "enum": ["a"], "default": "a"}
    lists = {
        "type": "array",
        "items": text,
        "maxItems": 3,
        "minItems": 1,
        "x-kubernetes-list-type": "set",
        "default": ["a"],
    }
    rule = {"rule": "self.a > 0", "message": "m", "reason": "FieldValueInvalid", "fieldPath": ".a"}
    spec = {"type": "object", "required": ["a"], "properties": {"a": bounds, "b": text, "c": lists}}
    good = definition({**spec, "x-kubernetes-validations": [rule]}, subresources={"scale": SCALE})
    assert problems(good) == []
    for path in list(_places(good)):
        for junk in JUNK:
            made = copy.deepcopy(good)
            place = made
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = copy.deepcopy(junk)
            default_definition(made)
            definition_warnings(made)
            validate_definition_update(made, good)
            assert all(isinstance(text, str) for text in problems(made))


def rule(expression: str, **schema: Any) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": expression}], **schema}


@pytest.mark.parametrize(
    "schema",
    [
        rule("self == 'q'", type="string", default="q"),
        rule("self > 3", type="integer", default=5),
        rule("self", type="boolean", default=True),
        rule("self.size() > 0", type="array", maxItems=5, items=STRING, default=["x"]),
        rule("self > duration('1m')", type="string", format="duration", default="5m"),
        rule("self == oldSelf", type="string", default="x"),
        rule("self.a == 'x'", type="object", properties={"a": STRING}, default={"a": "x"}),
    ],
)
def test_a_default_may_stand_beside_a_rule_that_it_satisfies(schema: dict[str, Any]) -> None:
    assert problems(definition({"type": "object", "properties": {"f": schema}})) == []


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (rule("self == 'q'", type="string", default="b"), "failed rule: self == 'q'"),
        (rule("self > 3", type="integer", default=1), "failed rule: self > 3"),
        (
            rule("self.a == 'x'", type="object", properties={"a": STRING}, default={"a": "y"}),
            "failed rule: self.a == 'x'",
        ),
        (
            rule("self.kind == 'x' || true", type="object", properties={"a": STRING}, default={}),
            "undefined field 'kind'",
        ),
    ],
)
def test_a_default_that_breaks_a_rule_is_refused(schema: dict[str, Any], message: str) -> None:
    found = problems(definition({"type": "object", "properties": {"f": schema}}))
    assert found
    assert message in found[0]


def test_a_rule_with_a_constant_that_cannot_be_converted_is_refused() -> None:
    (found,) = problems(definition(rule("int('0x1') == 1", type="object", properties={"a": STRING})))
    assert "program instantiation failed: type conversion error from 'string' to 'int'" in found


@pytest.mark.parametrize("keyword", ["patternProperties", "definitions"])
def test_unsupported_keywords_may_be_empty(keyword: str) -> None:
    assert problems(definition({"type": "object", keyword: {}})) == []
    (found,) = problems(definition({"type": "object", keyword: {"a": STRING}}))
    assert found.endswith(f"{keyword}: Forbidden: {keyword} is not supported")


def test_dependencies_may_not_even_be_empty() -> None:
    (found,) = problems(definition({"type": "object", "dependencies": {}}))
    assert found.endswith("dependencies: Forbidden: dependencies is not supported")


def test_a_schema_may_not_name_its_dialect() -> None:
    (found,) = problems(definition({"type": "object", "$schema": "http://json-schema.org/schema#"}))
    assert found == "spec.validation.openAPIV3Schema: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"


def test_more_than_eight_selectable_fields_are_refused_before_they_are_resolved() -> None:
    schema = {"type": "object", "properties": {f"f{index}": STRING for index in range(8)}}
    fields = [{"jsonPath": f".spec.f{index}"} for index in range(5000)]
    (found,) = problems(definition(schema, selectableFields=fields))
    assert found == "spec.selectableFields: Too many: 5000: must have at most 8 items"
    assert problems(definition(schema, selectableFields=fields[:8])) == []


def test_a_definition_has_at_most_a_hundred_versions() -> None:
    made = definition()
    (version,) = made["spec"]["versions"]
    made["spec"]["versions"] = [version, *({**version, "name": f"v{n}", "storage": False} for n in range(2, 102))]
    assert problems(made) == ["spec.versions: Too many: 101: must have at most 100 items"]
    del made["spec"]["versions"][-1]
    assert problems(made) == []


def test_the_errors_of_a_definition_are_limited() -> None:
    schema = {"type": "object", "properties": {f"f{index}": {"type": "text"} for index in range(1000)}}
    found = problems(definition(schema))
    assert len(found) == 251
    assert found[-1] == "<nil>: Invalid value: too many errors: only the first 250 are reported"


def test_the_default_of_an_int_or_string_may_be_of_any_type() -> None:
    field: dict[str, Any] = {"x-kubernetes-int-or-string": True, "default": True}
    assert problems(definition({"type": "object", "properties": {"f": field}})) == []
    field = {"x-kubernetes-int-or-string": True, "default": "x", "pattern": "^[0-9]+$"}
    (found,) = problems(definition({"type": "object", "properties": {"f": field}}))
    assert "should match '^[0-9]+$'" in found
