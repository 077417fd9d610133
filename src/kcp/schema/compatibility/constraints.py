"""Value validations of a schema, merged: those of the schema itself and those of its ``allOf``.

All of them hold for a value, so bounds, enums and required names merge into one each, and patterns and factors into sets. What
does not merge (``anyOf``, ``oneOf``, ``not``, and validations of the values inside) is kept as it is, and compared by content.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kcp.schema.compatibility.bounds import COUNTS, NumberRange, count_range, number_keywords, number_range
from kcp.schema.raw_schemas import Raw, schema, schemas, strings, text
from kcp.schema.value_predicates import enum_identity

DESCRIPTIVE: Final = frozenset({"description", "title", "example", "externalDocs"})
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_ALTERNATIVES: Final = ("anyOf", "oneOf")
KEYWORDS: Final = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
        "maxItems", "minProperties", "maxProperties", "pattern", "enum", "required", "allOf", "anyOf", "oneOf", "not",
    }
)  # fmt: skip
"""The keywords that `Constraints` stands for."""


@dataclass(frozen=True, slots=True)
class Junctor:
    """A validation that does not merge: ``raw`` is a schema with one keyword, ``key`` its content.

    ``alternatives`` are the contents of the branches of an ``anyOf``; empty for the others.
    """

    keyword: str
    key: str
    raw: Raw
    alternatives: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Constraints:
    """The merged validations of a value.

    numbers    the range of numbers
    counts     the range of lengths (``string``), items (``array``) and properties (``object``)
    enum       the allowed values by their `enum_identity`; None: any
    patterns   the regular expressions that a string matches, all of them
    multiples  the factors of a number, all of them
    required   the names of required properties, in order
    junctors   the other validations, by content
    """

    numbers: NumberRange
    counts: dict[str, NumberRange]
    enum: dict[Hashable, Any] | None
    patterns: frozenset[str]
    multiples: frozenset[float]
    required: tuple[str, ...]
    junctors: dict[str, Junctor]

    def keywords(self, format_: str, *, integers: bool) -> Raw:
        """The keywords that declare these validations; the format limits what integers need bounds for."""
        out: Raw = number_keywords(self.numbers, format_, integers=integers)
        for least, most, kind in COUNTS:
            found = self.counts[kind]
            if found.low is not None:
                out[least] = found.low
            if found.high is not None:
                out[most] = found.high
        if self.enum is not None:
            out["enum"] = list(self.enum.values())
        if self.required:
            out["required"] = list(self.required)
        more: list[Raw] = [{"pattern": pattern} for pattern in sorted(self.patterns)]
        more += [{"multipleOf": factor} for factor in sorted(self.multiples)]
        more += [self.junctors[key].raw for key in sorted(self.junctors)]
        rest = []
        for each in more:
            (keyword,) = each
            hoisted = keyword not in out and keyword in KEYWORDS and not _is_fraction(each, integers=integers)
            if hoisted:
                out |= each
            else:
                rest.append(each)
        return out | {"allOf": rest} if rest else out


def _is_fraction(raw: Raw, *, integers: bool) -> bool:
    """Whether this is a factor that an integer schema cannot declare itself: validation then refuses every value."""
    return integers and "multipleOf" in raw and not float(raw["multipleOf"]).is_integer()


def constraints_of(raw: Raw, *, int_or_string: bool = False) -> Constraints:
    """Merge the validations of a schema; ``int_or_string`` says that every value is an integer or a string anyway."""
    merged = [raw]
    for each in merged:  # grows while it is walked
        merged += schemas(each, "allOf")
    enums = [each["enum"] for each in merged if each.get("enum")]
    return Constraints(
        numbers=number_range(merged),
        counts={kind: count_range(merged, least, most) for least, most, kind in COUNTS},
        enum=_common_values(enums) if enums else None,
        patterns=frozenset(pattern for each in merged if (pattern := text(each, "pattern"))),
        multiples=frozenset(each["multipleOf"] for each in merged if each.get("multipleOf") is not None),
        required=tuple(dict.fromkeys(name for each in merged for name in strings(each, "required"))),
        junctors={
            found.key: found
            for each in merged
            for found in _junctors(each, own=each is raw)
            if not (int_or_string and found.raw == {"anyOf": _INT_OR_STRING})
        },
    )


def _common_values(enums: list[list[Any]]) -> dict[Hashable, Any]:
    first, *others = ({enum_identity(value): value for value in enum if value is not None} for enum in enums)
    return {key: value for key, value in first.items() if all(key in other for other in others)}


def _junctors(raw: Raw, *, own: bool) -> Iterable[Junctor]:
    for keyword in _ALTERNATIVES:
        branches = schemas(raw, keyword)
        if branches:
            contents = sorted(map(content, branches))
            alternatives = frozenset(contents) if keyword == "anyOf" else frozenset()
            yield Junctor(keyword, f"{keyword}: {contents}", {keyword: branches}, alternatives)
    negated = schema(raw, "not")
    if negated is not None:
        yield Junctor("not", f"not: {content(negated)}", {"not": negated})
    if own:
        return
    for keyword, value in raw.items():
        if keyword not in KEYWORDS and keyword not in DESCRIPTIVE and value is not None:
            found = {keyword: value}
            yield Junctor(keyword, f"allOf: {content(found)}", found)


def content(raw: Raw) -> str:
    """The content of a schema as text, without descriptions."""
    return orjson.dumps(_without_descriptions(raw), option=orjson.OPT_SORT_KEYS).decode()


def _without_descriptions(raw: Raw) -> Raw:
    return {keyword: value for keyword, value in raw.items() if keyword not in DESCRIPTIVE and value is not None}
