"""Lists as indented JSON and as YAML, converted chunk by chunk: a large list is never in memory as a whole.

The result is what converting the whole list would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from kcp.api import documents
from kcp.registry.representations.framing import LIST_END

_INDENT: Final = orjson.OPT_INDENT_2
_BEFORE: Final = b'{\n  "": [\n'
_AFTER: Final = b"\n  ]\n}"
"""What is around the items of a list that is the only member of an object."""


class PrettyList:
    """A list as JSON that is indented by two spaces."""

    def __init__(self, head: bytes) -> None:
        """``head`` is the JSON up to the first item."""
        empty = orjson.dumps(orjson.loads(head + LIST_END), option=_INDENT)
        self.begin = empty.removesuffix(b"]\n}")
        self._separator = b"\n"

    def items(self, encoded: Sequence[bytes]) -> bytes:
        """Convert a chunk of items."""
        chunk = orjson.loads(b'{"":[%b]}' % b",".join(encoded))
        written = orjson.dumps(chunk, option=_INDENT)
        separator, self._separator = self._separator, b",\n"
        return separator + written[len(_BEFORE) : -len(_AFTER)]

    def end(self) -> bytes:
        """What follows the last item."""
        return b"]\n}\n" if self._separator == b"\n" else b"\n  ]\n}\n"


class YAMLList:
    """A list as YAML with sorted keys: the items stand between the members whose names sort before and after theirs."""

    def __init__(self, head: bytes) -> None:
        """``head`` is the JSON up to the first item."""
        empty: dict[str, Any] = orjson.loads(head + LIST_END)
        name = next(reversed(empty))
        self._name = name.encode()
        before = {key: value for key, value in empty.items() if key < name}
        after = {key: value for key, value in empty.items() if key > name}
        self.begin = documents.encode_yaml(before) if before else b""
        self._rest = documents.encode_yaml(after) if after else b""
        self._title = b"%b:\n" % self._name

    def items(self, encoded: Sequence[bytes]) -> bytes:
        """Convert a chunk of items."""
        chunk = orjson.loads(b'{"%b":[%b]}' % (self._name, b",".join(encoded)))
        written = documents.encode_yaml(chunk).removeprefix(b"%b:\n" % self._name)
        title, self._title = self._title, b""
        return title + written

    def end(self) -> bytes:
        """What follows the last item."""
        return b"%b: []\n%b" % (self._name, self._rest) if self._title else self._rest
