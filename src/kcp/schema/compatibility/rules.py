"""The meet of ``x-kubernetes-validations``: the rules of two schemas that an object of both passes.

Rules are equal when their expressions are. Whether one rule implies another is not decided: a new rule is a break. An equal rule
may give another result where the types of the values differ (5 / 2 is 2 for integers), so that is a break as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kcp.api.field_errors import ABSENT
from kcp.schema.compatibility.incompatibilities import Report
from kcp.schema.compatibility.views import SchemaView
from kcp.schema.raw_schemas import flag, objects, text

KEYWORD: Final = "x-kubernetes-validations"
_CEL_FORMATS: Final = frozenset({"byte", "date", "date-time", "duration"})

_Key = tuple[str, bool]
_Rules = dict[_Key, tuple[int, dict[str, Any]]]


def _rules(view: SchemaView) -> _Rules:
    return {
        (text(rule, "rule").strip(), flag(rule, "optionalOldSelf")): (index, rule)
        for index, rule in enumerate(objects(view.raw.get(KEYWORD)))
    }


@dataclass(frozen=True, slots=True)
class SameTypes:
    """Whether values have the same types in expressions by a meet as by the old and by the new schema."""

    as_old: bool = True
    as_new: bool = True

    def __and__(self, other: SameTypes) -> SameTypes:
        return SameTypes(self.as_old and other.as_old, self.as_new and other.as_new)


SAME_TYPES: Final = SameTypes()
DIFFERENT_TYPES: Final = SameTypes(as_old=False, as_new=False)


def same_types(old: SchemaView, new: SchemaView, common: SchemaView) -> SameTypes:
    """Compare the types of values themselves, apart from the values inside."""
    one, other, both = map(_expression_type, (old, new, common))
    return SameTypes(one == both, other == both)


def _expression_type(view: SchemaView) -> tuple[frozenset[str], str, bool]:
    format_ = text(view.raw, "format")
    is_map = isinstance(view.raw.get("additionalProperties"), dict)
    return view.kinds, format_ if format_ in _CEL_FORMATS else "", is_map


def meet_rules(
    old: SchemaView, new: SchemaView, path: str, report: Report, *, types: SameTypes
) -> list[dict[str, Any]]:
    """The rules of both schemas. ``types`` are those of the values and of all values inside."""
    if KEYWORD not in old.raw and KEYWORD not in new.raw:
        return []
    before, after = _rules(old), _rules(new)
    for key, (index, rule) in after.items():
        where = f"{path}.{KEYWORD}[{index}].rule"
        if key not in before:
            report.narrowing(where, "objects that break the new rule are refused", ABSENT, rule["rule"])
        elif not (types.as_old and types.as_new):
            report.conflict(where, "the rule runs on values of other types", before[key][1]["rule"], rule["rule"])
    for rules, others, same in ((before, after, types.as_old), (after, before, types.as_new)):
        for key in rules.keys() - others.keys() if not same else ():
            reason = f"the rule would run on values of other types: {key[0]}"
            report.obstacle(f"{path}.{KEYWORD}", reason)
    return [rule for _, rule in (before | {key: each for key, each in after.items() if key not in before}).values()]
