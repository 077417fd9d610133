"""Lexer: the tokens of an expression, by the lexical grammar of the CEL language definition.

https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

import re
from typing import Any, Final, NamedTuple

from kcp.cel.errors import Issue
from kcp.cel.values import INT_MAX, UINT_MAX, Uint

RESERVED: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
KEYWORDS: Final = RESERVED | {"true", "false", "null", "in"}
"""Words that cannot be identifiers; those in `RESERVED` have no meaning yet."""

_ESCAPE: Final = r"""\\(?:[abfnrtv"'\\?`]|[0-3][0-7]{2}|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"""
_TOKEN: Final = re.compile(
    rf"""
    (?P<space>[\t\x20\r\n\f]+|//[^\n]*)
  | (?P<string>(?P<prefix>[bB]?[rR])(?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"[^"\n\r]*"|'[^'\n\r]*')
      | (?P<plain>[bB]?)(?:\"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\"|'''(?:{_ESCAPE}|[^\\])*?'''
      | "(?:{_ESCAPE}|[^\\"\n\r])*"|'(?:{_ESCAPE}|[^\\'\n\r])*'))
  | (?P<double>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<quoted>`[A-Za-z0-9_.\-/\x20]+`)
  | (?P<operator>==|!=|<=|>=|&&|\|\||[<>\[\]{{}}().,\-!?:+*/%])
""",
    re.VERBOSE,
)
_ESCAPES: Final = re.compile(
    r"\\(?:([abfnrtv\"'\\?`])|([0-3][0-7]{2})|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_SIMPLE: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MAX_NUMBER_LENGTH: Final = 400


class SyntaxIssueError(Exception):
    """A syntax error in an expression."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.issue = Issue(message, offset)


class Token(NamedTuple):
    """A token: its kind (literal, name, quoted, operator or end), text, offset and value."""

    kind: str
    text: str
    offset: int
    value: Any = None


def tokenize(source: str) -> list[Token]:
    """Split an expression into tokens, the last of kind ``end``. Raises SyntaxIssueError."""
    tokens: list[Token] = []
    position, end = 0, len(source)
    while position < end:
        match = _TOKEN.match(source, position)
        if match is None:
            raise SyntaxIssueError(f"Syntax error: token recognition error at: '{source[position]}'", position)
        kind = match.lastgroup or ""
        text = match.group()
        if kind != "space":
            tokens.append(_token(match, text, position))
        position = match.end()
    tokens.append(Token("end", "<EOF>", end))
    return tokens


def _token(match: re.Match[str], text: str, offset: int) -> Token:
    if match["name"] is not None:
        if text in _CONSTANTS:
            return Token("literal", text, offset, _CONSTANTS[text])
        return Token("operator" if text == "in" else "name", text, offset)
    if match["operator"] is not None:
        return Token("operator", text, offset)
    if match["string"] is not None:
        return Token("literal", text, offset, _string(match, text, offset))
    if match["quoted"] is not None:
        return Token("quoted", text, offset, text[1:-1])
    if match["double"] is not None:
        value = float(text)
        if value in (float("inf"), float("-inf")):
            raise SyntaxIssueError("invalid double literal", offset)
        return Token("literal", text, offset, value)
    if match["uint"] is not None:
        return Token("literal", text, offset, Uint(_integer(text[:-1], UINT_MAX, "uint", offset)))
    # One more than the maximum: the parser handles the sign of -9223372036854775808.
    return Token("literal", text, offset, _integer(text, INT_MAX + 1, "int", offset))


_CONSTANTS: Final = {"true": True, "false": False, "null": None}


def _integer(text: str, most: int, kind: str, offset: int) -> int:
    if len(text) > _MAX_NUMBER_LENGTH:
        raise SyntaxIssueError(f"invalid {kind} literal", offset)
    value = int(text, 16) if text[:2] == "0x" else int(text)
    if value > most:
        raise SyntaxIssueError(f"invalid {kind} literal", offset)
    return value


def _string(match: re.Match[str], text: str, offset: int) -> str | bytes:
    prefix = match["prefix"]
    raw = prefix is not None
    prefix = (prefix if raw else match["plain"]).lower()
    body = text[len(prefix) :]
    quotes = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[quotes:-quotes].replace("\r\n", "\n").replace("\r", "\n") if quotes == 3 else body[1:-1]
    if "b" in prefix:
        return body.encode() if raw else _bytes(body)
    if raw or "\\" not in body:
        return body
    return _ESCAPES.sub(lambda found: _character(found, offset), body)


def _character(match: re.Match[str], offset: int) -> str:
    simple, octal, hexadecimal, short, long = match.groups()
    if simple is not None:
        return _SIMPLE.get(simple, simple)
    code = int(octal, 8) if octal is not None else int(hexadecimal or short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise SyntaxIssueError("unable to unescape string", offset)
    return chr(code)


def _bytes(body: str) -> bytes:
    out = bytearray()
    last = 0
    for match in _ESCAPES.finditer(body):
        out += body[last : match.start()].encode()
        last = match.end()
        _, octal, hexadecimal, _, _ = match.groups()
        if octal is not None or hexadecimal is not None:
            out.append(int(octal, 8) if octal is not None else int(hexadecimal, 16))
        else:
            out += _character(match, 0).encode()
    out += body[last:].encode()
    return bytes(out)
