"""The data of a structural schema as expressions see it."""

from typing import Any

import pytest

from kcp.cel import ABSENT, CompilationError, EvaluationError, compile_rule, escape, schema_type

TEXT = {"type": "string"}
INTEGER = {"type": "integer"}


def of(**properties: Any) -> Any:
    return {"type": "object", "properties": properties}


def value(rule: str, schema: Any, data: Any, old: Any = ABSENT, **options: Any) -> Any:
    return compile_rule(rule, schema, **{"is_root": False, **options}).evaluate(data, old)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("plain", "plain"),
        ("a_b", "a_b"),
        ("a__b", "a__underscores__b"),
        ("a.b", "a__dot__b"),
        ("a-b", "a__dash__b"),
        ("a/b", "a__slash__b"),
        ("in", "__in__"),
        ("namespace", "__namespace__"),
        ("true", "__true__"),
        ("as", "__as__"),
        ("1a", None),
        ("a b", None),
        ("é", None),
        ("", None),
        ("$ref", None),
    ],
)
def test_names_that_are_no_identifiers_are_escaped(name: str, escaped: str | None) -> None:
    assert escape(name) == escaped


def test_escaped_fields_are_reached_by_their_escaped_names() -> None:
    schema = of(**{"a-b": INTEGER, "namespace": TEXT, "x__y": INTEGER})
    data = {"a-b": 1, "namespace": "n", "x__y": 2}
    assert value("self.a__dash__b == 1 && self.x__underscores__y == 2 && has(self.a__dash__b)", schema, data)
    assert value("self.__namespace__ == 'n' && self.namespace == 'n' && has(self.namespace)", schema, data)


@pytest.mark.parametrize(
    ("format_", "data", "rule"),
    [
        (
            "date-time",
            "2020-01-01T00:00:00Z",
            "self.v < timestamp('2021-01-01T00:00:00Z') && self.v.getFullYear() == 2020",
        ),
        (
            "date",
            "2020-01-02",
            "self.v == timestamp('2020-01-02T00:00:00Z') && type(self.v) == google.protobuf.Timestamp",
        ),
        ("duration", "1h30m", "self.v == duration('90m') && self.v.getMinutes() == 90"),
        ("duration", "2 days", "self.v == duration('48h')"),
        ("byte", "aGk=", "self.v == b'hi' && size(self.v) == 2"),
    ],
)
def test_formats_of_texts_are_types(format_: str, data: str, rule: str) -> None:
    assert value(rule, of(v={"type": "string", "format": format_}), {"v": data}) is True


def test_formats_are_seen_inside_lists_maps_and_dyn() -> None:
    moment = {"type": "string", "format": "date-time"}
    schema = of(
        l={"type": "array", "items": moment}, m={"type": "object", "additionalProperties": moment}, o=of(t=moment)
    )
    data = {"l": ["2020-01-01T00:00:00Z"], "m": {"k": "2020-01-01T00:00:00Z"}, "o": {"t": "2020-01-01T00:00:00Z"}}
    year = "timestamp('2020-01-01T00:00:00Z')"
    for rule in (
        f"self.l.all(t, t == {year})",
        f"self.l == [{year}]",
        f"{year} in self.l",
        f"self.l[0] == {year} && self.m.k == {year} && self.m['k'] == {year}",
        f"self.m == {{'k': {year}}}",
        f"self.m.all(k, v, v == {year})",
        f"self.l.filter(t, t == {year}) == [{year}]",
        f"self.l + [{year}] == [{year}, {year}]",
        f"dyn(self.o).t == {year} && dyn(self).l == [{year}]",
        f"[self.o][0].t == {year} && (true ? self.l : [])[0] == {year}",
        f"self.?o.?t.orValue(timestamp(0)) == {year} && self.?l[0].value() == {year}",
        f"self.l.max() == {year}",
        "self.o == self.o && self.l == self.l && self.m == self.m",
    ):
        assert value(rule, schema, data) is True, rule


def test_an_instant_equals_itself_however_it_is_written() -> None:
    schema = of(a=of(t={"type": "string", "format": "date-time"}), b=of(t={"type": "string", "format": "date-time"}))
    data = {"a": {"t": "2020-01-01T00:00:00Z"}, "b": {"t": "2020-01-01T01:00:00+01:00"}}
    assert value("self.a.t == self.b.t", schema, data) is True


def test_a_badly_formatted_text_fails_where_it_is_read() -> None:
    schema = of(v={"type": "string", "format": "date"}, n=INTEGER)
    assert value("self.n == 1", schema, {"v": "junk", "n": 1}) is True
    with pytest.raises(EvaluationError, match="junk"):
        value("self.v == timestamp(0)", schema, {"v": "junk", "n": 1})


def test_whole_numbers_of_type_number_are_doubles() -> None:
    schema = of(v={"type": "number"}, l={"type": "array", "items": {"type": "number"}})
    data = {"v": 3, "l": [1, 2]}
    for rule in (
        "self.v / 2.0 == 1.5",
        "type(self.v) == double",
        "string(self.v) == '3'",
        "self.l == [1.0, 2.0]",
        "self.l.sum() == 3.0",
    ):
        assert value(rule, schema, data) is True, rule


def test_integers_or_strings_are_told_apart_by_their_type() -> None:
    schema = of(v={"x-kubernetes-int-or-string": True})
    rule = "type(self.v) == int ? self.v > 1 : self.v.endsWith('%')"
    assert value(rule, schema, {"v": 2}) is True
    assert value(rule, schema, {"v": "5%"}) is True
    with pytest.raises(EvaluationError, match="no such overload"):
        value("self.v > 1", schema, {"v": "5%"})


NULLABLE = {
    "s": {"type": "string", "nullable": True},
    "o": {**of(x=INTEGER), "nullable": True},
    "l": {"type": "array", "nullable": True, "items": TEXT},
    "i": {"x-kubernetes-int-or-string": True, "nullable": True},
    "t": {"type": "string", "format": "date-time", "nullable": True},
}


@pytest.mark.parametrize("field", NULLABLE)
def test_a_null_field_of_an_object_counts_as_absent(field: Any) -> None:
    schema = of(n=of(**NULLABLE))
    data = {"n": {field: None}}
    for rule in (
        f"!has(self.n.{field})",
        f"!self.n.?{field}.hasValue()",
        f"!self.?n.?{field}.hasValue()",
        f"!has(self.?n.{field})",
        f"!has(dyn(self.n).{field})",
        f"!has(dyn(self).n.{field})",
        f"self.n.?{field}.optMap(v, false).orValue(true)",
        f"!has(self.n.{field}) || self.n.{field} == self.n.{field}",
    ):
        assert value(rule, schema, data) is True, rule
    with pytest.raises(EvaluationError, match=f"no such key: {field}"):
        value(f"dyn(self.n.{field}) == 1", schema, data)


def test_a_field_that_is_not_null_is_there() -> None:
    schema = of(**NULLABLE)
    data = {"s": "", "o": {}, "l": [], "i": 0, "t": "2020-01-01T00:00:00Z"}
    for field in NULLABLE:
        for rule in (f"has(self.{field})", f"self.?{field}.hasValue()", f"has(dyn(self).{field})"):
            assert value(rule, schema, data) is True, rule


def test_nulls_are_elements_of_lists_and_maps() -> None:
    schema = of(
        m={"type": "object", "additionalProperties": NULLABLE["s"]}, l={"type": "array", "items": NULLABLE["s"]}
    )
    data = {"m": {"a": None, "b": "x"}, "l": [None, "x"]}
    for rule in (
        "self.m.size() == 2",
        "has(self.m.a)",
        "'a' in self.m",
        "self.l.size() == 2",
        "self.l.exists(e, e == 'x')",
    ):
        assert value(rule, schema, data) is True, rule


def test_objects_with_a_null_field_are_never_equal() -> None:
    schema = of(a=of(**NULLABLE))
    for data, equal in (({"a": {"s": "x"}}, True), ({"a": {"s": None}}, False)):
        assert value("self.a == oldSelf.a", schema, data, data) is equal
        assert value("self == oldSelf", schema, data, data) is equal


SETS = of(**{name: {"type": "array", "x-kubernetes-list-type": "set", "items": TEXT} for name in "ab"})


def test_sets_are_equal_in_any_order_and_add_up_to_unions() -> None:
    data = {"a": ["x", "y"], "b": ["y", "x"]}
    assert value("self.a == self.b && self.a == ['y', 'x'] && self.a != ['x', 'z']", SETS, data) is True
    assert value("self.a + ['z', 'x'] == ['x', 'y', 'z'] && self.a + self.b == ['x', 'y']", SETS, data) is True
    assert value("[self.a] == [['x', 'y']]", SETS, data) is True
    assert value("self == oldSelf", SETS, data, {"a": ["y", "x"], "b": ["x", "y"]}) is True


def test_lists_that_are_maps_are_equal_in_any_order_and_merge_by_key() -> None:
    items = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": of(k=TEXT, v=INTEGER),
    }
    data = {"a": [{"k": "x", "v": 1}, {"k": "y", "v": 2}], "b": [{"k": "y", "v": 3}, {"k": "z", "v": 4}]}
    schema = of(a=items, b=items)
    assert value("self.a == oldSelf.a", schema, data, {"a": data["a"][::-1]}) is True
    old = {"a": data["b"]}
    assert value("(self.a + oldSelf.a).map(i, i.v) == [1, 3, 4]", schema, data, old) is True
    assert value("self.a == oldSelf.a", schema, data, old) is False


def test_plain_lists_keep_their_order() -> None:
    schema = of(a={"type": "array", "items": TEXT})
    assert value("self.a == ['y', 'x']", schema, {"a": ["x", "y"]}) is False


def test_metadata_of_a_root_has_a_name_and_a_generate_name_only() -> None:
    data = {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "labels": {}}}
    assert (
        value("self.metadata.name == 'n' && self.kind == 'K' && self.apiVersion == 'v1'", of(), data, is_root=True)
        is True
    )
    assert value("has(self.metadata.generateName)", of(), data, is_root=True) is False
    with pytest.raises(CompilationError, match="undefined field 'labels'"):
        value("self.metadata.labels.size() == 0", of(), data, is_root=True)


def test_embedded_resources_have_metadata_too() -> None:
    schema = of(
        template={
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        }
    )
    data = {"template": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {}}}
    assert value("self.template.metadata.name == 'p' && self.template.kind == 'Pod'", schema, data) is True
    with pytest.raises(CompilationError, match="undefined field 'spec'"):
        value("has(self.template.spec)", schema, data)


def test_unknown_fields_cannot_be_seen_but_count_in_equality() -> None:
    schema = of(
        o={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        u={"x-kubernetes-preserve-unknown-fields": True},
    )
    with pytest.raises(CompilationError, match="undefined field 'u'"):
        value("has(self.u)", schema, {})
    assert value("self.o == oldSelf.o", schema, {"o": {"x": [1]}}, {"o": {"x": [1]}}) is True
    assert value("self.o == oldSelf.o", schema, {"o": {"x": [1]}}, {"o": {"x": [2]}}) is False
    assert value("self.o == oldSelf.o", schema, {"o": {"x": 1}}, {"o": {"x": True}}) is False


def test_a_schema_without_a_type_has_no_rules() -> None:
    with pytest.raises(CompilationError):
        compile_rule("true", {"x-kubernetes-preserve-unknown-fields": True}, is_root=False)


def test_references_are_followed_until_they_start_over() -> None:
    node = of(name=TEXT, child={"$ref": "#/$defs/Node"})
    schema = {**of(root={"$ref": "#/$defs/Node"}), "$defs": {"Node": node}}
    assert value("self.root.name == 'a'", schema, {"root": {"name": "a"}}) is True
    with pytest.raises(CompilationError, match="undefined field 'child'"):
        value("has(self.root.child)", schema, {})


def test_rules_of_one_node_can_share_its_type() -> None:
    node = schema_type(of(v=INTEGER), is_root=True)
    assert node is not None
    assert compile_rule("self.v == 1", node, is_root=True).evaluate({"v": 1}) is True
    assert compile_rule("self.metadata.name == 'x'", node, is_root=True).evaluate({"metadata": {"name": "x"}}) is True


def test_scalars_lists_and_maps_have_rules_of_their_own() -> None:
    assert value("self > 0", INTEGER, 1) is True
    assert value("self.startsWith('a')", TEXT, "ab") is True
    assert value("self.exists(x, x == 2)", {"type": "array", "items": INTEGER}, [1, 2]) is True
    assert (
        value("self.a + self['b'] == 3", {"type": "object", "additionalProperties": INTEGER}, {"a": 1, "b": 2}) is True
    )


def test_transition_rules_say_so() -> None:
    program = compile_rule("self >= oldSelf", INTEGER, is_root=False)
    assert program.uses_old_self
    assert program.evaluate(2, 1) is True
    assert not compile_rule("self >= 0", INTEGER, is_root=False).uses_old_self


def test_the_old_value_may_be_optional() -> None:
    program = compile_rule(
        "!oldSelf.hasValue() || oldSelf.value() <= self", INTEGER, is_root=False, optional_old_self=True
    )
    assert program.evaluate(2) is True
    assert program.evaluate(2, 3) is False
    fields = compile_rule("oldSelf.?t.orValue(timestamp(0)) <= self.t", of(t={"type": "string", "format": "date-time"}),
                          is_root=False, optional_old_self=True)  # fmt: skip
    assert fields.evaluate({"t": "2020-01-01T00:00:00Z"}) is True
    assert fields.evaluate({"t": "2020-01-01T00:00:00Z"}, {"t": "2021-01-01T00:00:00Z"}) is False


def test_evaluation_leaves_the_data_as_they_are() -> None:
    data = {"a": ["x"], "b": ["y"]}
    assert value("(self.a + self.b).size() == 2 && (self.a + ['q']).size() == 2", SETS, data) is True
    assert data == {"a": ["x"], "b": ["y"]}
