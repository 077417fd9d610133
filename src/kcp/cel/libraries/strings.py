"""cel-go's string extensions, version 2. Offsets and lengths count code points."""

from typing import Any, Final

from kcp.cel import call_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.libraries.string_format import format_string, quote
from kcp.cel.limits import check_string_length, count_visits
from kcp.cel.values import type_name

_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_JOINED_FOR_ONE: Final = 4
"""Strings that are joined, for one visit."""
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
# What Go's strings.TrimSpace removes: Unicode's White_Space; str.strip() also removes four control characters.
_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def _out_of_range(offset: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {offset}")


def _char_at(text: str, offset: int) -> str:
    if not 0 <= offset <= len(text):
        raise _out_of_range(offset)
    return text[offset : offset + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if offset < 0:
        raise _out_of_range(offset)
    return min(offset, len(text)) if part == "" else text.find(part, offset)


def _last_index_of(text: str, part: str) -> int:
    return text.rfind(part)


def _last_index_of_from(text: str, part: str, offset: int) -> int:
    if offset < 0:
        raise _out_of_range(offset)
    if part == "":
        return min(offset, len(text))
    return -1 if offset >= len(text) else text.rfind(part, 0, offset + len(part))


def _lower(text: str) -> str:
    return text.translate(_LOWER)


def _upper(text: str) -> str:
    return text.translate(_UPPER)


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    if len(new) > len(old):
        check_string_length(len(text) + text.count(old) * (len(new) - len(old)))
    return text.replace(old, new, max(most, -1) if most < 2**31 else -1)


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    """Go's strings.SplitN: an empty separator splits after each code point; 0 gives no parts, a negative number all."""
    if most == 0:
        return []
    if separator:
        return text.split(separator, most - 1 if 0 < most < 2**31 else -1)
    if most < 0 or most >= len(text):
        return list(text)
    return [*text[: most - 1], text[most - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for offset in (start, end):
        if offset is not None and not 0 <= offset <= len(text):
            raise _out_of_range(offset)
    return text[start:end]


def _trim(text: str) -> str:
    return text.strip(_SPACE)


def _join(items: list[Any], separator: str = "") -> str:
    count_visits(len(items) // _JOINED_FOR_ONE)
    for item in items:
        if type(item) is not str:
            raise EvaluationError(f"join: invalid input: {type_name(item)}")
    check_string_length(sum(map(len, items)) + len(separator) * len(items))
    return separator.join(items)


ROWS: Final[list[Row]] = [
    ("string_char_at_int", "string.charAt(int): string", _char_at),
    ("string_index_of_string", "string.indexOf(string): int", _index_of, cost.traversal),
    ("string_index_of_string_int", "string.indexOf(string, int): int", _index_of, cost.traversal),
    ("string_last_index_of_string", "string.lastIndexOf(string): int", _last_index_of, cost.traversal),
    ("string_last_index_of_string_int", "string.lastIndexOf(string, int): int", _last_index_of_from, cost.traversal),
    ("string_lower_ascii", "string.lowerAscii(): string", _lower, cost.text),
    ("string_upper_ascii", "string.upperAscii(): string", _upper, cost.text),
    ("string_replace_string_string", "string.replace(string, string): string", _replace, cost.text_twice),
    ("string_replace_string_string_int", "string.replace(string, string, int): string", _replace, cost.text_twice),
    ("string_split_string", "string.split(string): list<string>", _split, cost.text_twice),
    ("string_split_string_int", "string.split(string, int): list<string>", _split, cost.text_twice),
    ("string_substring_int", "string.substring(int): string", _substring, cost.text),
    ("string_substring_int_int", "string.substring(int, int): string", _substring, cost.text),
    ("string_trim", "string.trim(): string", _trim, cost.text),
    ("string_format", "string.format(list<dyn>): string", format_string, cost.text),
    ("list_join", "list<string>.join(): string", _join, cost.joined),
    ("list_join_string", "list<string>.join(string): string", _join, cost.joined),
]
NAMESPACED: Final[list[Row]] = [("strings_quote", "strings.quote(string): string", quote, cost.text)]
