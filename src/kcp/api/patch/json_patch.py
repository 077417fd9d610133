"""JSON patch (RFC 6902) with JSON pointers (RFC 6901).

Implemented here because patches are on the hot path of writes: a map or list is copied when an operation first changes it, and
everything else is shared with the document (the jsonpatch library copies the whole document). Limits and messages follow
kube-apiserver, including three deviations of its library (evanphx/json-patch) that clients rely on: a negative index counts
from the end, a test of an absent member for null succeeds, and so does a replacement of an absent member of a map.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import orjson

from kcp.api import errors, json_values
from kcp.api.field_errors import shorten
from kcp.api.json_values import equal

MAX_OPERATIONS: Final = 10_000
MAX_COPIED_BYTES: Final = 3 * 1024 * 1024
MAX_WORK: Final = 20_000_000
"""List elements that the operations of one patch may shift. Kubernetes has no such limit; no client needs more."""
MAX_DEPTH: Final = 200
"""Nesting of the values that operations put into a document: that of bodies."""
_VISIT_COST: Final = 100
"""Work for one value that is visited, in shifted elements."""

_INDEX: Final = re.compile(r"[+-]?[0-9]{1,9}")
_ABSENT: Final = object()


class _PatchError(Exception):
    """An operation cannot be applied."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message))  # it contains paths and values of the patch


def apply(document: Any, patch: Any, *, max_copied_bytes: int = MAX_COPIED_BYTES) -> Any:
    """Apply the operations of ``patch`` to ``document``, which is not changed. Returns the new document.

    Raises StatusError 400 when ``patch`` is not a list of operations; 413 when it has more than 10,000 of them or they shift
    more than ``MAX_WORK`` list elements; 422 when an operation cannot be applied, a test fails, the document is nested too
    deeply, or ``copy`` operations add more than ``max_copied_bytes``.
    """
    check_operations(patch)
    working = _Document(document, max_copied_bytes)
    for operation in patch:
        if not isinstance(operation, dict):
            raise errors.bad_request("error decoding patch: an operation of a JSON patch is a JSON object")
        try:
            working.run(operation)
        except _PatchError as problem:
            message = f"the server rejected our request due to an error in our request: {problem}"
            raise errors.StatusError(422, "Invalid", message, details={}) from None
    return working.root


def check_operations(patch: Any) -> None:
    """Raise StatusError 400 when a patch is not a list of operations, 413 when it has too many."""
    if not isinstance(patch, list):
        raise errors.bad_request("error decoding patch: a JSON patch is a list of operations")
    if len(patch) > MAX_OPERATIONS:
        raise errors.request_entity_too_large(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(patch)}"
        )


class _Document:
    """The working copy of a document. ``_own`` holds the maps and lists that are already copies and may be changed in place."""

    def __init__(self, root: Any, max_copied_bytes: int) -> None:
        self.root = root
        self._own: dict[int, Any] = {}
        self._max_copied_bytes = max_copied_bytes
        self._copied_bytes = 0
        self._work = 0

    def run(self, operation: dict[str, Any]) -> None:
        name = operation.get("op")
        handler = _HANDLERS.get(name) if isinstance(name, str) else None
        if handler is None:
            raise _PatchError(f"Unexpected kind: {name if isinstance(name, str) else 'unknown'}")
        path = operation.get("path")
        if not isinstance(path, str):
            raise _PatchError(f"{name} operation failed to decode path: operation missing path field: missing value")
        handler(self, operation, path)

    def add(self, operation: dict[str, Any], path: str) -> None:
        value = _value_of(operation)
        self._check_depth(path, value)
        self._put(path, value, "add operation does not apply: doc is missing path", "add")

    def remove(self, _operation: dict[str, Any], path: str) -> None:
        self._pop(path, "remove operation does not apply: doc is missing path", "remove")

    def replace(self, operation: dict[str, Any], path: str) -> None:
        value = _value_of(operation)
        self._check_depth(path, value)
        if path == "":
            self.root = value
            return
        container, key = self._parent(path, "replace operation does not apply: doc is missing path")
        if isinstance(container, dict):
            container[key] = value
            return
        try:
            container[_index(key, len(container))] = value
        except _PatchError:
            raise _PatchError(f"replace operation does not apply: doc is missing key: {path}: missing value") from None

    def move(self, operation: dict[str, Any], path: str) -> None:
        source = _from_of(operation, "move")
        if path.startswith(source + "/"):
            raise _PatchError(f"move operation does not apply: {path} is inside of {source}")
        value = self._pop(source, "move operation does not apply: doc is missing from path", "move")
        if path.count("/") > source.count("/"):
            self._check_depth(path, value, charged=True)
        self._put(path, value, "move operation does not apply: doc is missing destination path", "move")

    def copy(self, operation: dict[str, Any], path: str) -> None:
        source = _from_of(operation, "copy")
        value = self._find(source, "copy operation does not apply: doc is missing from path", "copy")
        if value is _ABSENT:
            raise _PatchError(f"copy operation does not apply: doc is missing from path: {source}: missing value")
        self._check_depth(path, value)
        self._copied_bytes += len(orjson.dumps(value))
        if self._copied_bytes > self._max_copied_bytes:
            raise _PatchError(
                f"Unable to complete the copy, the accumulated size increase of copy is {self._copied_bytes}, "
                f"exceeding the limit {self._max_copied_bytes}"
            )
        copied = json_values.copy_containers(value)
        self._put(path, copied, "copy operation does not apply: doc is missing destination path", "copy")

    def test(self, operation: dict[str, Any], path: str) -> None:
        expected = operation.get("value")
        found = self._find(path, "test operation does not apply: is missing path", "test")
        if found is _ABSENT:
            found = None
        if not equal(found, expected):
            raise _PatchError(f"testing value {path} failed: test failed")

    def _find(self, path: str, missing: str, name: str) -> Any:
        """The value at ``path``; ``_ABSENT`` when its map has no such member."""
        found = self.root
        tokens = _tokens(path, missing)
        for position, token in enumerate(tokens):
            if isinstance(found, dict):
                below = found.get(token, _ABSENT)
            elif isinstance(found, list):
                below = _item(found, token, path, name, last=position == len(tokens) - 1, missing=missing)
            else:
                below = _ABSENT
            if below is _ABSENT:
                if position == len(tokens) - 1 and isinstance(found, dict):
                    return _ABSENT
                raise _PatchError(f"{missing}: {path}: missing value")
            found = below
        return found

    def _parent(self, path: str, missing: str) -> tuple[Any, str]:
        """The map or list that holds ``path``, as a copy that may be changed, and the last token."""
        tokens = _tokens(path, missing)
        if not tokens:
            raise _PatchError(f"{missing}: {path}: missing value")
        container = self.root = self._copied(self.root)
        for token in tokens[:-1]:
            if isinstance(container, dict):
                step: Any = token
                if token not in container:
                    raise _PatchError(f"{missing}: {path}: missing value")
            elif isinstance(container, list):
                try:
                    step = _index(token, len(container))
                except _PatchError:
                    raise _PatchError(f"{missing}: {path}: missing value") from None
            else:
                raise _PatchError(f"{missing}: {path}: missing value")
            below = container[step] = self._copied(container[step])
            container = below
        if not isinstance(container, (dict, list)):
            raise _PatchError(f"{missing}: {path}: missing value")
        return container, tokens[-1]

    def _copied(self, container: Any) -> Any:
        if not isinstance(container, (dict, list)) or id(container) in self._own:
            return container
        made = container.copy()
        self._own[id(made)] = made
        return made

    def _charge(self, work: int) -> None:
        """Count work. Raises StatusError 413 beyond the limit."""
        self._work += work
        if self._work > MAX_WORK:
            raise errors.request_entity_too_large(
                f"The allowed maximum work of a JSON patch is to shift {MAX_WORK} list elements"
            )

    def _check_depth(self, path: str, value: Any, *, charged: bool = False) -> None:
        """Raise _PatchError if ``value`` at ``path`` would be nested too deeply.

        A visit of a moved value is ``charged`` as work; others cost no more than reading the patch and what may be copied.
        """
        if type(value) is not dict and type(value) is not list:
            return
        depth = path.count("/")
        level = [value]
        while level:
            depth += 1
            if depth > MAX_DEPTH:
                raise _PatchError(f"the patched object is nested more than {MAX_DEPTH} levels deep")
            if charged:
                self._charge(_VISIT_COST * sum(map(len, level)))
            level = json_values.containers_in(level)

    def _put(self, path: str, value: Any, missing: str, name: str) -> None:
        if path == "":
            self.root = value
            return
        container, key = self._parent(path, missing)
        if isinstance(container, dict):
            container[key] = value
        elif key == "-":
            container.append(value)
        else:
            try:
                index = _index(key, len(container) + 1)
                self._charge(len(container) - index)
                container.insert(index, value)
            except _PatchError as problem:
                raise _PatchError(f"error in {name} for path: '{path}': {problem}") from None

    def _pop(self, path: str, missing: str, name: str) -> Any:
        container, key = self._parent(path, missing)
        if isinstance(container, dict):
            if key not in container:
                problem = f"Unable to remove nonexistent key: {key}: missing value"
                raise _PatchError(f"error in {name} for path: '{path}': {problem}")
            return container.pop(key)
        try:
            index = _index(key, len(container))
            self._charge(len(container) - index)
            return container.pop(index)
        except _PatchError as problem:
            raise _PatchError(f"error in {name} for path: '{path}': {problem}") from None


_HANDLERS: Final[dict[str, Callable[[_Document, dict[str, Any], str], None]]] = {
    "add": _Document.add,
    "remove": _Document.remove,
    "replace": _Document.replace,
    "move": _Document.move,
    "copy": _Document.copy,
    "test": _Document.test,
}


def _value_of(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise _PatchError(f"{operation['op']} operation, missing value field: missing value")
    return operation["value"]


def _from_of(operation: dict[str, Any], name: str) -> str:
    source = operation.get("from")
    if not isinstance(source, str):
        raise _PatchError(f"{name} operation failed to decode from: operation, missing from field: missing value")
    return source


def _tokens(path: str, missing: str) -> list[str]:
    if path == "":
        return []
    if path[0] != "/":
        raise _PatchError(f"{missing}: {path}: missing value")
    tokens = path[1:].split("/")
    if "~" in path:
        tokens = [token.replace("~1", "/").replace("~0", "~") for token in tokens]
    return tokens


def _index(token: str, size: int) -> int:
    """The index that ``token`` denotes, below ``size``. Raises _PatchError."""
    if not _INDEX.fullmatch(token):
        raise _PatchError(f"value was not a proper array index: '{token}'")
    index = int(token)
    if index >= size or index < -size:
        raise _PatchError(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + size if index < 0 else index


def _item(items: list[Any], token: str, path: str, name: str, *, last: bool, missing: str) -> Any:
    try:
        return items[_index(token, len(items))]
    except _PatchError as problem:
        if last:
            raise _PatchError(f"error in {name} for path: '{path}': {problem}") from None
        raise _PatchError(f"{missing}: {path}: missing value") from None
