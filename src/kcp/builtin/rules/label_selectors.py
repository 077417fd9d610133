"""Label selectors inside objects (meta/v1 ``LabelSelector``)."""

from __future__ import annotations

from typing import Any

from kcp.api.field_errors import FieldError
from kcp.api.selectors import validate_label_selector
from kcp.builtin.fields import mapping, maps, text, texts


def label_selector_errors(selector: dict[str, Any], path: str) -> list[FieldError]:
    """The errors of a ``LabelSelector``, whose shape may still be wrong."""
    labels = mapping(selector, "matchLabels")
    expressions = [
        {"key": text(entry, "key"), "operator": text(entry, "operator"), "values": texts(entry, "values")}
        for entry in maps(selector, "matchExpressions")
    ]
    shaped = {"matchLabels": {key: text(labels, key) for key in labels}, "matchExpressions": expressions}
    return validate_label_selector(shaped, path)
