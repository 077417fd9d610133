"""Structural schemas, schemas that differ a little, and objects of a schema, chosen by a source of random numbers.

In tests, Hypothesis gives the seed of the source. If it drew each number (``use_true_random=False``), it could shrink the
examples, and would take several times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from kcp.api import json_values
from kcp.schema.fast_validation import check_of, holds
from kcp.schema.nodes import Scope

Raw = dict[str, Any]
NAMES = ("a", "b", "c")
TEXTS = ("", "a", "b", "ab", "aab", "2020-01-01", "10.0.0.1", "YWI=", "1h", "x" * 6)
NUMBERS = (-5, -1, 0, 1, 2, 3, 4, 5, 6, 8, 12, 0.5, 2.5, 1e12, 2**40)
INTEGERS = tuple(each for each in NUMBERS if type(each) is int)
PATTERNS = ("^a", "b$", "^[ab]*$")
RULES = (
    "self.a > 1",
    "self.a / 2 == 1",
    "self.b == 'a'",
    "size(self.c) < 3",
    "!has(self.b) || has(self.a)",
    "self == 2",
)


def some(random: Random, choices: dict[str, Callable[[], Any]]) -> Raw:
    """Some of the keywords, with values."""
    return {name: choose() for name, choose in choices.items() if random.random() < 0.2}


def subset(random: Random, values: tuple[Any, ...]) -> list[Any]:
    """One value or more of several."""
    return random.sample(values, random.randint(1, min(4, len(values))))


def validation(random: Random, kind: str) -> Raw:
    """A value validation, as it may stand in ``anyOf``."""
    choices: dict[str, dict[str, Callable[[], Any]]] = {
        "string": {
            "maxLength": lambda: random.randint(1, 5),
            "pattern": lambda: random.choice(PATTERNS),
            "enum": lambda: subset(random, TEXTS),
        },
        "number": {
            "minimum": lambda: random.choice(NUMBERS),
            "maximum": lambda: random.choice(NUMBERS),
            "multipleOf": lambda: random.choice((2, 3, 0.5)),
        },
        "object": {
            "required": lambda: subset(random, NAMES)[:2],
            "maxProperties": lambda: random.randint(1, 2),
        },
    }
    found = {name: choices[kind][name]() for name in subset(random, tuple(choices[kind]))[:2]}
    return {"not": found} if random.random() < 0.2 else found


def validations(random: Random, kind: str) -> Callable[[], list[Raw]]:
    """A function that chooses value validations."""
    return lambda: [validation(random, kind) for _ in range(random.randint(1, 3))]


def string(random: Random) -> Raw:
    """A schema of strings."""
    return {"type": "string"} | some(
        random,
        {
            "minLength": lambda: random.randint(0, 3),
            "maxLength": lambda: random.randint(1, 6),
            "pattern": lambda: random.choice(PATTERNS),
            "format": lambda: random.choice(("date", "byte", "ipv4", "duration", "nonsense")),
            "enum": lambda: subset(random, TEXTS),
            "anyOf": validations(random, "string"),
            "oneOf": validations(random, "string"),
            "allOf": validations(random, "string"),
            "not": lambda: validation(random, "string"),
        },
    )


def number(random: Random) -> Raw:
    """A schema of numbers."""
    kind = random.choice(("integer", "number"))
    values = INTEGERS if kind == "integer" else NUMBERS
    return {"type": kind} | some(
        random,
        {
            "minimum": lambda: random.choice(values),
            "exclusiveMinimum": lambda: True,
            "maximum": lambda: random.choice(values),
            "exclusiveMaximum": lambda: True,
            "multipleOf": lambda: random.choice((1, 2, 3, 4)),
            "format": lambda: random.choice(("int32", "int64") if kind == "integer" else ("float", "double")),
            "enum": lambda: subset(random, values),
            "allOf": validations(random, "number"),
            "oneOf": validations(random, "number"),
        },
    )


def array(random: Random, depth: int) -> Raw:
    """A schema of lists; also of sets of scalars, and of maps of objects with the key ``a``."""
    found: Raw = {"type": "array", "items": any_schema(random, depth - 1)}
    if random.random() < 0.2:
        found["items"]["nullable"] = True
    found |= some(random, {"minItems": lambda: random.randint(0, 2), "maxItems": lambda: random.randint(1, 3)})
    kind = random.choice(("", "", "atomic", "set", "map"))
    if kind == "map":
        declared: Raw = {"a": string(random) if random.random() < 0.2 else {"type": "string"}}
        if random.random() < 0.5:
            declared["b"] = any_property(random, depth - 1)
        found["items"] = {"type": "object", "properties": declared, "required": ["a"]}
        found["x-kubernetes-list-map-keys"] = ["a"]
    if kind == "set":
        found["items"] = string(random)
    if kind:
        found["x-kubernetes-list-type"] = kind
    return found


def object_(random: Random, depth: int) -> Raw:
    """A schema of objects: with properties, additional properties, or unknown fields."""
    found: Raw = {"type": "object"}
    form = random.random()
    if form < 0.2:
        found["additionalProperties"] = random.choice((True, False, any_schema(random, depth - 1)))
    else:
        found["properties"] = {name: any_property(random, depth - 1) for name in NAMES if random.random() < 0.6}
        if form < 0.4:
            found["x-kubernetes-preserve-unknown-fields"] = True
            if random.random() < 0.3:
                found["x-kubernetes-embedded-resource"] = True
    return found | some(
        random,
        {
            "required": lambda: subset(random, NAMES),
            "minProperties": lambda: random.randint(0, 2),
            "maxProperties": lambda: random.randint(1, 4),
            "anyOf": validations(random, "object"),
            "allOf": validations(random, "object"),
            "not": lambda: validation(random, "object"),
            "x-kubernetes-map-type": lambda: random.choice(("atomic", "granular")),
            "x-kubernetes-validations": lambda: [{"rule": rule} for rule in subset(random, RULES)[:2]],
        },
    )


def any_property(random: Random, depth: int) -> Raw:
    """The schema of a property, which may have a default and may be nullable."""
    found = any_schema(random, depth)
    if random.random() < 0.2:
        found["nullable"] = True
    if random.random() < 0.3:
        default = any_value(random, found)
        if default is not None and holds(check_of(Scope({}).node(found)), default):
            found["default"] = default
    return found


def any_schema(random: Random, depth: int = 2) -> Raw:
    """A structural schema of a value, most of the time."""
    choice = random.random()
    if depth > 0 and choice < 0.5:
        return array(random, depth) if choice < 0.15 else object_(random, depth)
    if choice < 0.65:
        return string(random)
    if choice < 0.85:
        return number(random)
    kinds = ({"type": "boolean"}, {"x-kubernetes-int-or-string": True}, {"x-kubernetes-preserve-unknown-fields": True})
    return dict(random.choice(kinds))


def changed(random: Random, raw: Raw) -> Raw:
    """A schema with one change somewhere: a keyword more or less, another value, a property more or less."""
    inside = [name for name in ("items", "additionalProperties") if isinstance(raw.get(name), dict)]
    declared = raw.get("properties") or {}
    if (inside or declared) and random.random() < 0.6:
        where = random.choice([*inside, *declared])
        if where in inside:
            return {**raw, where: changed(random, raw[where])}
        return {**raw, "properties": {**declared, where: changed(random, declared[where])}}
    removable = sorted(raw.keys() - {"type", "items", "x-kubernetes-int-or-string"})
    if removable and random.random() < 0.4:
        gone = random.choice(removable)
        return {keyword: value for keyword, value in raw.items() if keyword != gone}
    if declared and random.random() < 0.3:
        gone = random.choice(sorted(declared))
        return {**raw, "properties": {name: each for name, each in declared.items() if name != gone}}
    if raw.get("type") == "object" and random.random() < 0.5:
        return {**raw, "properties": {**declared, random.choice((*NAMES, "d")): any_property(random, 1)}}
    return _replaced(random, raw)


def _replaced(random: Random, raw: Raw) -> Raw:
    for _ in range(4):
        fresh = any_property(random, 1)
        if fresh.get("type") == raw.get("type"):
            added = sorted(fresh.keys() - {"type", "items", "properties"})
            if added and random.random() < 0.7:
                keyword = random.choice(added)
                return {**raw, keyword: fresh[keyword]}
            return {**raw, **fresh}
    return fresh


def any_value(random: Random, raw: Raw) -> Any:
    """A value that is often valid by a schema."""
    if raw.get("nullable") and random.random() < 0.2:
        return None
    if raw.get("enum") and random.random() < 0.7:
        return random.choice(raw["enum"])
    match raw.get("type"):
        case "string":
            return random.choice(TEXTS)
        case "integer":
            return random.choice(INTEGERS)
        case "number":
            return random.choice(NUMBERS)
        case "boolean":
            return random.random() < 0.5
        case "array":
            return [any_value(random, raw["items"]) for _ in range(random.randint(0, 3))]
        case "object":
            return any_object(random, raw)
    if raw.get("x-kubernetes-int-or-string"):
        return random.choice((*TEXTS, *INTEGERS))
    values: tuple[Any, ...] = ({}, [], {"a": 1}, [{"b": []}], {"a": {"b": [None]}}, *TEXTS, *NUMBERS, True, None)
    return json_values.copy(random.choice(values))


def any_object(random: Random, raw: Raw) -> Raw:
    """An object of a schema: required properties more often than others, and fields that are not declared where they are kept."""
    found: Raw = {}
    required = raw.get("required") or ()
    declared = raw.get("properties") or {}
    for name, each in declared.items():
        if name in required or random.random() < 0.5:
            found[name] = any_value(random, each)
    rest = raw.get("additionalProperties")
    if rest or raw.get("x-kubernetes-preserve-unknown-fields"):
        for name in (*NAMES, "d"):
            if name not in declared and random.random() < 0.3:
                found[name] = any_value(random, rest if isinstance(rest, dict) else {})
    if raw.get("x-kubernetes-embedded-resource"):
        found |= {"apiVersion": "v1", "kind": "Any", "metadata": {"name": "any"}}
    return found
