"""What breaks the clients of a schema, construct by construct, and what two schemas have in common."""

from __future__ import annotations

from typing import Any

import pytest

from kcp.schema.compatibility import InvalidSchemaError, NoCommonSchemaError, compare, lowest_common_schema

Raw = dict[str, Any]
BOOLEAN: Raw = {"type": "boolean"}
INTEGER: Raw = {"type": "integer"}
NUMBER: Raw = {"type": "number"}
STRING: Raw = {"type": "string"}
INT_OR_STRING: Raw = {"x-kubernetes-int-or-string": True}
ANY: Raw = {"x-kubernetes-preserve-unknown-fields": True}
OPEN: Raw = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
EMBEDDED: Raw = {**OPEN, "x-kubernetes-embedded-resource": True}


def fields(_required: list[str] | None = None, /, **properties: Raw) -> Raw:
    found: Raw = {"type": "object", "properties": properties}
    return {**found, "required": _required} if _required else found


def array(items: Raw, **more: Any) -> Raw:
    return {"type": "array", "items": items, **{name.replace("_", "-"): value for name, value in more.items()}}


def values(schema: Raw) -> Raw:
    return {"type": "object", "additionalProperties": schema}


def set_of(items: Raw) -> Raw:
    return array(items, x_kubernetes_list_type="set")


def keyed(*keys: str, **properties: Raw) -> Raw:
    items = fields([*keys], **properties)
    return array(items, x_kubernetes_list_type="map", x_kubernetes_list_map_keys=[*keys])


def ruled(schema: Raw, *rules: str) -> Raw:
    return {**schema, "x-kubernetes-validations": [{"rule": rule} for rule in rules]}


def root(x: Raw) -> Raw:
    return fields(x=x)


def breaks(old: Raw, new: Raw) -> list[str]:
    return [str(each).removeprefix("properties[x]").removeprefix(".") for each in compare(root(old), root(new))]


def common(old: Raw, new: Raw) -> Raw:
    found: Raw = lowest_common_schema(root(old), root(new))["properties"]["x"]
    return found


def conflicts(old: Raw, new: Raw) -> list[str]:
    with pytest.raises(NoCommonSchemaError) as caught:
        lowest_common_schema(root(old), root(new))
    return [str(each).removeprefix("properties[x]").removeprefix(".") for each in caught.value.incompatibilities]


WIDER = [
    ("an integer to a number", INTEGER, NUMBER),
    ("an integer to int-or-string", INTEGER, INT_OR_STRING),
    ("a string to int-or-string", STRING, INT_OR_STRING),
    ("a scalar to any value", {**STRING, "maxLength": 2}, {**ANY, "nullable": True}),
    ("a list of scalars to any value", array(STRING), ANY),
    ("nullable", STRING, {**STRING, "nullable": True}),
    ("another description", {**STRING, "description": "a"}, {**STRING, "description": "b", "title": "c"}),
    ("more values of an enum", {**STRING, "enum": ["a"]}, {**STRING, "enum": ["b", "a"]}),
    ("no enum", {**STRING, "enum": ["a"]}, STRING),
    ("an enum whose values are valid", {**STRING, "enum": ["a", "aa"]}, {**STRING, "pattern": "^a+$", "maxLength": 2}),
    ("an enum of numbers in bounds", {**INTEGER, "enum": [2, 4]}, {**INTEGER, "minimum": 2, "multipleOf": 2}),
    ("a lower minimum", {**INTEGER, "minimum": 1}, {**INTEGER, "minimum": 0}),
    ("the same minimum", {**INTEGER, "minimum": 1}, {**INTEGER, "minimum": 0, "exclusiveMinimum": True}),
    ("an inclusive maximum", {**NUMBER, "maximum": 1, "exclusiveMaximum": True}, {**NUMBER, "maximum": 1}),
    ("a bound in allOf", {**INTEGER, "allOf": [{"minimum": 2}, {"minimum": 3}]}, {**INTEGER, "minimum": 3}),
    ("a factor of the factor", {**INTEGER, "multipleOf": 6}, {**INTEGER, "multipleOf": 3}),
    ("a larger range of a format", {**INTEGER, "format": "int32"}, {**INTEGER, "format": "int64"}),
    ("a format that has the range", {**INTEGER, "minimum": 0, "maximum": 9}, {**INTEGER, "format": "int32"}),
    ("a format that has the enum", {**INTEGER, "enum": [1, 2]}, {**INTEGER, "format": "int32"}),
    ("the bounds of a format", {**INTEGER, "format": "int32"}, {**INTEGER, "maximum": 2**31 - 1}),
    ("longer strings", {**STRING, "maxLength": 2}, {**STRING, "maxLength": 3}),
    ("shorter strings", {**STRING, "minLength": 1}, {**STRING, "minLength": 0}),
    ("no pattern and no format", {**STRING, "pattern": "a", "format": "date"}, STRING),
    ("longer lists", array(STRING, maxItems=1), array(STRING, maxItems=2)),
    ("wider items", array(INTEGER), array(NUMBER)),
    ("the default list type", array(STRING), array(STRING, x_kubernetes_list_type="atomic")),
    ("keys in another order", keyed("a", "b", a=STRING, b=STRING), keyed("b", "a", a=STRING, b=STRING)),
    ("the default map type", fields(a=STRING), {**fields(a=STRING), "x-kubernetes-map-type": "granular"}),
    ("more properties", fields(a=STRING), fields(a=STRING, b=STRING)),
    ("a new property with a default", fields(a=STRING), fields(["b"], a=STRING, b={**STRING, "default": "b"})),
    ("fewer required properties", fields(["a"], a=STRING), fields(a=STRING)),
    (
        "a required property with a default",
        fields(a={**STRING, "default": "b"}),
        fields(["a"], a={**STRING, "default": "b"}),
    ),
    ("a default of a required property", fields(["a"], a=STRING), fields(a={**STRING, "default": "b"})),
    ("properties to values of any name", fields(a=STRING), values(STRING)),
    ("properties to unknown fields", fields(a=STRING), OPEN),
    ("wider values", values(INTEGER), values(NUMBER)),
    ("scalar values to additional properties", values(STRING), {"type": "object", "additionalProperties": True}),
    ("forbidden to pruned fields", {"type": "object", "additionalProperties": False}, {"type": "object"}),
    ("more properties at most", {**OPEN, "maxProperties": 1}, {**OPEN, "maxProperties": 2}),
    (
        "more alternatives",
        {**STRING, "anyOf": [{"enum": ["a"]}]},
        {**STRING, "anyOf": [{"enum": ["b"]}, {"enum": ["a"]}]},
    ),
    ("no alternatives", {**STRING, "oneOf": [{"enum": ["a"]}], "not": {"enum": ["b"]}}, STRING),
    ("fewer rules, and wider values", ruled(fields(a=INTEGER), "self.a / 2 == 2"), fields(a=NUMBER)),
    ("fewer rules", ruled(fields(a=INTEGER), "self.a > 1"), fields(a=INTEGER)),
    ("an equal rule", ruled(fields(a=INTEGER), "self.a > 1"), ruled(fields(a=INTEGER, b=STRING), " self.a > 1 ")),
]


@pytest.mark.parametrize(("old", "new"), [case[1:] for case in WIDER], ids=[case[0] for case in WIDER])
def test_a_schema_that_accepts_more_is_compatible(old: Raw, new: Raw) -> None:
    assert breaks(old, new) == []
    assert common(old, new) == old


NARROWER = [
    (NUMBER, INTEGER, 'type: values of other types are refused (was "number", is "integer")', INTEGER),
    (INT_OR_STRING, STRING, 'type: values of other types are refused (was "integer or string", is "string")', STRING),
    (ANY, STRING, 'type: values of other types are refused (was not set, is "string")', STRING),
    ({**STRING, "nullable": True}, STRING, "nullable: null is refused or replaced (was true, is not set)", STRING),
    (
        {**STRING, "enum": ["a", "b"]},
        {**STRING, "enum": ["b", "c"]},
        'enum: values were removed from the enum: "a" (was ["a","b"], is ["b","c"])',
        {**STRING, "enum": ["b"]},
    ),
    (
        STRING,
        {**STRING, "enum": ["a"]},
        'enum: values that are not in the new enum are refused (was not set, is ["a"])',
        {**STRING, "enum": ["a"]},
    ),
    (
        {**STRING, "enum": ["a", "aa"]},
        {**STRING, "maxLength": 1},
        'enum: values of the old enum are refused: "aa" (was ["a","aa"], is not set)',
        {**STRING, "enum": ["a"]},
    ),
    (
        INTEGER,
        {**INTEGER, "minimum": 1},
        "minimum: numbers below 1 are refused (was not set, is 1)",
        {**INTEGER, "minimum": 1},
    ),
    (
        {**NUMBER, "maximum": 1},
        {**NUMBER, "maximum": 1, "exclusiveMaximum": True},
        "maximum: numbers not below 1 are refused (was 1, is 1)",
        {**NUMBER, "maximum": 1, "exclusiveMaximum": True},
    ),
    (
        {**INTEGER, "maximum": 9},
        {**INTEGER, "allOf": [{"maximum": 5.5}]},
        "maximum: numbers above 5 are refused (was 9, is not set)",
        {**INTEGER, "maximum": 5},
    ),
    (
        {**INTEGER, "multipleOf": 4},
        {**INTEGER, "multipleOf": 6},
        "multipleOf: other numbers are refused (was 4, is 6)",
        {**INTEGER, "multipleOf": 4, "allOf": [{"multipleOf": 6}]},
    ),
    (
        INTEGER,
        {**INTEGER, "format": "int32"},
        'format: integers outside of the range of the new format are refused (was not set, is "int32")',
        {**INTEGER, "format": "int32"},
    ),
    (
        NUMBER,
        {**NUMBER, "format": "float"},
        'format: numbers that a 32-bit float cannot represent are refused (was not set, is "float")',
        {**NUMBER, "format": "float"},
    ),
    (
        STRING,
        {**STRING, "format": "date"},
        'format: strings of other formats are refused, and clients may read the values differently (was not set, is "date")',
        {**STRING, "format": "date"},
    ),
    (
        STRING,
        {**STRING, "format": "of-tomorrow"},
        (
            "format: strings of other formats are refused, and clients may read the values differently "
            '(was not set, is "of-tomorrow")'
        ),
        {**STRING, "format": "of-tomorrow"},
    ),
    (
        {**STRING, "pattern": "^a"},
        {**STRING, "pattern": "b$"},
        'pattern: strings may not match the new pattern (was "^a", is "b$")',
        {**STRING, "pattern": "^a", "allOf": [{"pattern": "b$"}]},
    ),
    (
        {**STRING, "maxLength": 3},
        {**STRING, "maxLength": 2},
        "maxLength: longer strings are refused (was 3, is 2)",
        {**STRING, "maxLength": 2},
    ),
    (
        {**STRING, "maxLength": 3},
        {**STRING, "minLength": 1},
        "minLength: shorter strings are refused (was not set, is 1)",
        {**STRING, "minLength": 1, "maxLength": 3},
    ),
    (
        array(STRING),
        array(STRING, maxItems=2),
        "maxItems: longer lists are refused (was not set, is 2)",
        array(STRING, maxItems=2),
    ),
    (
        array(STRING),
        array(STRING, minItems=2),
        "minItems: shorter lists are refused (was not set, is 2)",
        array(STRING, minItems=2),
    ),
    (
        set_of(NUMBER),
        set_of(INTEGER),
        'items.type: values of other types are refused (was "number", is "integer")',
        set_of(INTEGER),
    ),
    (
        fields(a=STRING, b=STRING),
        fields(a=STRING),
        "properties[b]: the property was removed: it is pruned from objects",
        fields(a=STRING),
    ),
    (
        fields(a=STRING),
        fields(["a"], a=STRING),
        'required: objects without a are refused (was not set, is ["a"])',
        fields(["a"], a=STRING),
    ),
    (
        fields(a={**STRING, "default": "b"}),
        fields(a={**STRING, "default": "c"}),
        'properties[a].default: the default was changed: objects without the field mean something else (was "b", is "c")',
        fields(["a"], a=STRING),
    ),
    (
        fields(a=STRING),
        fields(a={**STRING, "default": "b"}),
        'properties[a].default: the default was added: objects without the field mean something else (was not set, is "b")',
        fields(a={**STRING, "default": "b"}),
    ),
    (
        fields(a={**STRING, "default": "b"}),
        fields(a=STRING),
        'properties[a].default: the default was removed: objects without the field mean something else (was "b", is not set)',
        fields(a={**STRING, "default": "b"}),
    ),
    (
        fields(["a"], a={**STRING, "default": "b"}, c=STRING),
        fields(c=STRING),
        "properties[a]: the property was removed: it is pruned from objects",
        fields(c=STRING),
    ),
    (
        OPEN,
        {**OPEN, "additionalProperties": False},
        "additionalProperties: fields that are not declared are pruned or refused (was not set, is false)",
        {"type": "object", "additionalProperties": False},
    ),
    (
        OPEN,
        {"type": "object"},
        "x-kubernetes-preserve-unknown-fields: fields that are not declared are pruned or refused (was true, is not set)",
        {"type": "object"},
    ),
    (
        values(STRING),
        fields(a=STRING),
        'additionalProperties: fields that are not declared are pruned or refused (was {"type":"string"}, is not set)',
        fields(a=STRING),
    ),
    (
        values(NUMBER),
        values(INTEGER),
        'additionalProperties.type: values of other types are refused (was "number", is "integer")',
        values(INTEGER),
    ),
    (
        values(fields(a=STRING)),
        {"type": "object", "additionalProperties": True},
        "additionalProperties.properties[a]: the property was removed: it is pruned from objects",
        values({"type": "object"}),
    ),
    (
        {"type": "object"},
        {"type": "object", "additionalProperties": False},
        "additionalProperties: unknown fields are refused instead of pruned (was not set, is false)",
        {"type": "object", "additionalProperties": False},
    ),
    (
        OPEN,
        {**OPEN, "maxProperties": 2},
        "maxProperties: longer maps are refused (was not set, is 2)",
        {**OPEN, "maxProperties": 2},
    ),
    (
        STRING,
        {**STRING, "not": {"enum": ["a"]}},
        'not: values that pass the old validations may not pass this one (was not set, is {"enum":["a"]})',
        {**STRING, "not": {"enum": ["a"]}},
    ),
    (
        {**STRING, "anyOf": [{"minLength": 3}, {"enum": ["a"]}]},
        {**STRING, "anyOf": [{"enum": ["a"]}, {"maxLength": 1}]},
        (
            "anyOf: values that pass the old validations may not pass this one "
            '(was [{"minLength":3},{"enum":["a"]}], is [{"enum":["a"]},{"maxLength":1}])'
        ),
        {
            **STRING,
            "anyOf": [{"enum": ["a"]}, {"maxLength": 1}],
            "allOf": [{"anyOf": [{"minLength": 3}, {"enum": ["a"]}]}],
        },
    ),
    (
        fields(a=INTEGER),
        {**fields(a=INTEGER), "oneOf": [{"required": ["a"]}]},
        'oneOf: values that pass the old validations may not pass this one (was not set, is [{"required":["a"]}])',
        {**fields(a=INTEGER), "oneOf": [{"required": ["a"]}]},
    ),
    (
        fields(a=INTEGER),
        {**fields(a=INTEGER), "allOf": [{"properties": {"a": {"minimum": 1}}}]},
        'allOf: values that pass the old validations may not pass this one (was not set, is {"a":{"minimum":1}})',
        {**fields(a=INTEGER), "allOf": [{"properties": {"a": {"minimum": 1}}}]},
    ),
    (
        ruled(fields(a=INTEGER), "self.a > 1"),
        ruled(fields(a=INTEGER), "self.a > 2"),
        'x-kubernetes-validations[0].rule: objects that break the new rule are refused (was not set, is "self.a > 2")',
        ruled(fields(a=INTEGER), "self.a > 1", "self.a > 2"),
    ),
]


@pytest.mark.parametrize(("old", "new", "said", "wanted"), NARROWER, ids=[case[2][:50] for case in NARROWER])
def test_a_schema_that_accepts_less_breaks_clients_unless_it_is_narrowed_for_both(
    old: Raw, new: Raw, said: str, wanted: Raw
) -> None:
    assert breaks(old, new)[0] == said
    assert common(old, new) == wanted
    assert breaks(common(new, old), wanted) == breaks(wanted, common(new, old)) == []


DIFFERENT = [
    (STRING, INTEGER, 'type: the type changed (was "string", is "integer")'),
    (INT_OR_STRING, BOOLEAN, 'type: the type changed (was "integer or string", is "boolean")'),
    (array(STRING), set_of(STRING), 'x-kubernetes-list-type: the list merges differently (was "atomic", is "set")'),
    (
        {**keyed("a", "b", a=STRING, b=STRING), "x-kubernetes-list-map-keys": ["a"]},
        keyed("a", "b", a=STRING, b=STRING),
        'x-kubernetes-list-map-keys: the items of the list are identified differently (was ["a"], is ["a","b"])',
    ),
    (set_of(STRING), ANY, 'x-kubernetes-list-type: the list merges differently (was "set", is "atomic")'),
    (
        fields(a=STRING),
        {**fields(a=STRING), "x-kubernetes-map-type": "atomic"},
        'x-kubernetes-map-type: the map merges differently (was "granular", is "atomic")',
    ),
    (
        EMBEDDED,
        OPEN,
        (
            "x-kubernetes-embedded-resource: the metadata of the embedded resource is kept and validated by one schema only "
            "(was true, is false)"
        ),
    ),
    ({**STRING, "format": "date"}, {**STRING, "format": "byte"}, 'format: the format changed (was "date", is "byte")'),
    ({**STRING, "enum": ["a"]}, {**STRING, "enum": ["b"]}, 'enum: no value is allowed by both (was ["a"], is ["b"])'),
    (
        {**INTEGER, "maximum": 1},
        {**INTEGER, "minimum": 2},
        'minimum: no number is in both ranges (was "[-9223372036854775808, 1]", is "[2, 9223372036854775807]")',
    ),
    (
        array(STRING, maxItems=1),
        array(STRING, minItems=2),
        'minItems: no length of lists is in both ranges (was "[-inf, 1]", is "[2, inf]")',
    ),
    (
        fields(a=STRING),
        fields(["b"], a=STRING, b=STRING),
        'required: the new property b is required: objects without it are refused (was not set, is ["b"])',
    ),
    (
        {**fields(a=STRING), "maxProperties": 1},
        {**fields(a=STRING, b={**STRING, "default": "c"}), "maxProperties": 1},
        'properties[b]: objects get the default of the new property, which other validations may refuse (was not set, is "c")',
    ),
    (
        {**fields(a=STRING), "not": {"required": ["b"]}},
        {**fields(a=STRING, b={**STRING, "default": "c"}), "not": {"required": ["b"]}},
        'properties[b]: objects get the default of the new property, which other validations may refuse (was not set, is "c")',
    ),
    (
        ruled(fields(a=INTEGER), "self.a > 1"),
        ruled(fields(a=NUMBER), "self.a > 1"),
        'x-kubernetes-validations[0].rule: the rule runs on values of other types (was "self.a > 1", is "self.a > 1")',
    ),
    ({**STRING, "x-new": 1}, {**STRING, "x-new": 2}, "x-new: the keyword changed and cannot be compared (was 1, is 2)"),
    (STRING, {**STRING, "x-new": 2}, "x-new: the keyword changed and cannot be compared (was not set, is 2)"),
]


@pytest.mark.parametrize(("old", "new", "said"), DIFFERENT, ids=[case[2][:50] for case in DIFFERENT])
def test_schemas_that_contradict_each_other_have_no_common_schema(old: Raw, new: Raw, said: str) -> None:
    assert breaks(old, new) == [said]
    assert conflicts(old, new) == [said]


NOT_COMMON = [
    (
        fields(["b"], a=STRING, b=STRING),
        fields(a=STRING),
        "required: b is required by the old schema, and the new one has no such field",
    ),
    (
        {**fields(a={**STRING, "default": "b"}, b=STRING), "maxProperties": 1},
        fields(b=STRING),
        "properties[a]: only the old schema has the property, and its default may fail other validations there",
    ),
    (
        {**fields(a=STRING, b=STRING), "minProperties": 2},
        fields(a=STRING),
        "minProperties: the schemas have fewer properties in common (was not set, is 2)",
    ),
    (
        {**fields(a=STRING, b=STRING), "anyOf": [{"required": ["b"]}]},
        fields(a=STRING),
        "anyOf: every alternative requires a property that only one schema has: b",
    ),
    (
        fields(a=INTEGER),
        ruled(fields(a=NUMBER), "self.a > 2.5"),
        "x-kubernetes-validations: the rule would run on values of other types: self.a > 2.5",
    ),
    (
        ruled(fields(a=INTEGER, b=STRING), "!has(self.b) || self.a > 1"),
        fields(a=INTEGER),
        "x-kubernetes-validations[0].rule: the common schema would be invalid: ",
    ),
    (
        {**NUMBER, "minimum": 1e39},
        {**NUMBER, "format": "float"},
        "format: a bound is outside of the range of the format float",
    ),
]


@pytest.mark.parametrize(("old", "new", "said"), NOT_COMMON, ids=[case[2][:50] for case in NOT_COMMON])
def test_what_cannot_be_narrowed_is_no_common_schema(old: Raw, new: Raw, said: str) -> None:
    assert conflicts(old, new)[0].startswith(said)


def test_an_oneof_without_one_of_its_alternatives_is_kept() -> None:
    old = {**fields(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert common(old, fields(a=STRING)) == {**fields(a=STRING), "oneOf": old["oneOf"]}


def test_unknown_fields_of_one_schema_are_the_properties_of_the_other() -> None:
    assert common(OPEN, fields(a=STRING)) == fields(a=STRING)
    assert common(fields(a=NUMBER), values(INTEGER)) == fields(a=INTEGER)
    assert common(values(STRING), {**OPEN, "properties": {"a": STRING}}) == values(STRING)


def test_a_list_that_preserves_unknown_fields_of_its_items() -> None:
    old = {**array(fields(a=STRING)), "x-kubernetes-preserve-unknown-fields": True}
    assert common(old, array(fields(a=STRING))) == array(fields(a=STRING))
    assert breaks(array(fields(a=STRING)), old) == []
    (said,) = breaks(old, array(fields(a=STRING)))
    assert said.startswith("items.x-kubernetes-preserve-unknown-fields: fields that are not declared are pruned")


def test_the_metadata_of_a_resource_is_compared_without_being_declared() -> None:
    named = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}
    old, new = fields(a=STRING), fields(a=STRING, metadata=named)
    (said,) = compare(old, new)
    assert (
        str(said) == "properties[metadata].properties[name].maxLength: longer strings are refused (was not set, is 5)"
    )
    assert compare(new, old) == []
    assert lowest_common_schema(old, new) == new
    assert compare(old, fields(a=STRING, metadata={"type": "object"}, kind=STRING)) == []


def test_the_default_of_an_item_replaces_null_only() -> None:
    old, new = array({**STRING, "default": "a"}), array({**STRING, "default": "b"})
    assert breaks(old, new)[0].startswith("items.default: the default was changed")
    assert common(old, new) == array(STRING)


def test_breaks_are_at_their_path_in_the_schema() -> None:
    (said,) = compare(root(STRING), root(INTEGER))
    assert said.field == "properties[x].type"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "object", "properties": {"x": {}}}, "type: Required value"),
        ({"type": "object", "properties": {"x": {"$ref": "#/a"}}}, "$ref: Forbidden"),
        ({"type": "object", "properties": {"x": {**STRING, "uniqueItems": True}}}, "uniqueItems: Forbidden"),
        ({"type": "object", "properties": []}, "a keyword has a value of the wrong JSON type"),
        (
            root({**INTEGER, "minimum": 0.5}),
            "properties[x].minimum: Invalid value: 0.5: is outside of the range of type integer",
        ),
        (root(ruled(fields(a=STRING), "self.b > 1")), "undefined field 'b'"),
    ],
)
def test_an_invalid_schema_is_not_compared(schema: Raw, words: str) -> None:
    for old, new in ((schema, root(STRING)), (root(STRING), schema)):
        with pytest.raises(InvalidSchemaError) as caught:
            compare(old, new)
        assert words in str(caught.value)


def nested(levels: int, inner: Raw) -> Raw:
    for _ in range(levels):
        inner = array(inner)
    return root(inner)


def test_schemas_of_two_hundred_levels_are_compared_and_deeper_ones_refused() -> None:
    (said,) = compare(nested(196, NUMBER), nested(196, INTEGER))
    assert said.field == "properties[x]" + ".items" * 196 + ".type"
    assert lowest_common_schema(nested(196, NUMBER), nested(196, INTEGER)) == nested(196, INTEGER)
    with pytest.raises(InvalidSchemaError, match="nested more than 200 levels deep"):
        compare(nested(300, NUMBER), nested(300, INTEGER))


def test_a_comparison_that_would_take_quadratic_time_is_a_break() -> None:
    names = [f"p{number}" for number in range(2000)]
    old = values(fields(**dict.fromkeys(names, STRING)))
    new = {**OPEN, "properties": dict.fromkeys(names, fields(a=STRING))}
    (*_, said) = breaks(old, new)
    assert said == "the schemas are too large to compare"
    assert conflicts(old, new)[-1] == "the schemas are too large to compare"
