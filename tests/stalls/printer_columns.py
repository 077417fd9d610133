"""Tables and watches whose rows cost as much as computed columns may."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from kcp.schema.printer_columns import ANNOTATION
from tests.stalls.many_objects import TABLE
from tests.stalls.requests import WIDGETS, Attack, Call, create, definition, of, widget
from tests.support.objects import DEFINITIONS

_ANYTHING: Final = of("object", **{"x-kubernetes-preserve-unknown-fields": True})
_SLOW_CALL: Final = "+".join(["size(string(now))"] * 80)
_CALLS: Final = f"string(self.spec.many.map(a, {_SLOW_CALL}).sum())"
_COMPARISONS: Final = "string(self.spec.many.exists(a, self.spec.deep == self.spec.deep && false))"
_FORMATS: Final = "string(self.spec.many.map(a, size('%s'.format([self.spec]))).sum())"
_INITIAL: Final = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1"


def _definition(*expressions: str) -> dict[str, Any]:
    columns = [
        {"name": f"c{number}", "type": "string", "expression": expression}
        for number, expression in enumerate(expressions)
    ]
    made = definition(_ANYTHING)
    content = {"apiVersion": "kcp.io/v1", "kind": "PrinterColumns", "versions": [{"name": "v1", "columns": columns}]}
    made["metadata"]["annotations"] = {ANNOTATION: json.dumps(content)}
    return made


def _costly_widget(number: int, size: int) -> dict[str, Any]:
    deep = {"a": [{"b": [str(each)]} for each in range(size)]}
    return widget(f"w{number:05}", spec={"many": list(range(600)), "deep": deep})


def _costly(expression: str, objects: int, size: int = 10) -> Sequence[Call]:
    widgets = [create(partial(_costly_widget, number, size), WIDGETS) for number in range(objects)]
    return [create(partial(_definition, expression), DEFINITIONS), *widgets]


def _table() -> Call:
    return Call("GET", WIDGETS, headers={"Accept": TABLE})


COLUMNS: Final = [
    Attack("a table of slow calls", _table(), _costly(_CALLS, 200)),
    Attack("a table of deep comparisons", _table(), _costly(_COMPARISONS, 200, 500)),
    Attack("a table of formatted objects", _table(), _costly(_FORMATS, 200, 500)),
    Attack("a comparison of large objects in a table", _table(), _costly(_COMPARISONS, 3, 60_000)),
    Attack(
        "the initial rows of a watch with slow calls",
        Call("GET", f"{WIDGETS}?{_INITIAL}", headers={"Accept": TABLE}),
        _costly(_CALLS, 100),
    ),
    Attack(
        "a definition of many costly columns",
        create(lambda: _definition(*[f"{number} + {_SLOW_CALL}" for number in range(32)]), DEFINITIONS),
    ),
]
