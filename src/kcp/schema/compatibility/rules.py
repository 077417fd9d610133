"""The meet of ``x-kubernetes-validations``: the rules of two schemas that an object of both passes.

Rules are equal when their expressions are. Whether one rule implies another is not decided: a new rule is a break. An equal rule
may give another result where the types of the values differ (5 / 2 is 2 for integers), so that is a break as well.
"""

from __future__ import annotations

from typing import Any, Final

from kcp.api.field_errors import ABSENT
from kcp.schema.compatibility.incompatibilities import Report
from kcp.schema.compatibility.views import View
from kcp.schema.raw_schemas import flag, objects, text

KEYWORD: Final = "x-kubernetes-validations"
_CEL_FORMATS: Final = frozenset({"byte", "date", "date-time", "duration"})

_Key = tuple[str, bool]
_Rules = dict[_Key, tuple[int, dict[str, Any]]]


def _rules(view: View) -> _Rules:
    return {
        (text(rule, "rule").strip(), flag(rule, "optionalOldSelf")): (index, rule)
        for index, rule in enumerate(objects(view.raw.get(KEYWORD)))
    }


def same_type_for_rules(old: View, new: View) -> bool:
    """Whether two schemas have the same type in expressions, apart from the values inside."""
    formats = [found if (found := text(view.raw, "format")) in _CEL_FORMATS else "" for view in (old, new)]
    are_maps = [isinstance(view.raw.get("additionalProperties"), dict) for view in (old, new)]
    return old.kinds == new.kinds and formats[0] == formats[1] and are_maps[0] == are_maps[1]


def meet_rules(old: View, new: View, path: str, report: Report, *, same_types: bool) -> list[dict[str, Any]]:
    """The rules of both schemas. ``same_types``: the values and all values inside have the same types in expressions."""
    if KEYWORD not in old.raw and KEYWORD not in new.raw:
        return []
    before, after = _rules(old), _rules(new)
    for key, (index, rule) in after.items():
        where = f"{path}.{KEYWORD}[{index}].rule"
        if key not in before:
            report.narrowing(where, "objects that break the new rule are refused", ABSENT, rule.get("rule"))
        elif not same_types:
            report.conflict(where, "the rule runs on values of other types", before[key][1]["rule"], rule["rule"])
    if not same_types:
        for key in before.keys() ^ after.keys():
            shown = [rules[key][1].get("rule") if key in rules else ABSENT for rules in (before, after)]
            report.obstacle(f"{path}.{KEYWORD}", "the rule would run on values of other types", *shown)
    return [rule for _, rule in (before | {key: each for key, each in after.items() if key not in before}).values()]
