"""Parser: the abstract syntax tree of an expression, with macros recognized but not expanded.

Grammar and limits are cel-go's (parser/gen/CEL.g4). Only the first error is reported, in the words of its ANTLR parser.
"""

from typing import Final

from kcp.cel.errors import CompilationError
from kcp.cel.lexer import RESERVED, SyntaxIssueError, Token, tokenize
from kcp.cel.syntax import (
    Call,
    Comprehension,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalBind,
    Select,
    StructLiteral,
)
from kcp.cel.values import INT_MAX

MAX_CODE_POINTS: Final = 100_000
MAX_DEPTH: Final = 250

_EXPRESSION: Final = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_RELATIONS: Final = {"<": "_<_", "<=": "_<=_", ">": "_>_", ">=": "_>=_", "==": "_==_", "!=": "_!=_", "in": "@in"}
_SUMS: Final = {"+": "_+_", "-": "_-_"}
_PRODUCTS: Final = {"*": "_*_", "/": "_/_", "%": "_%_"}
# Precedence of the left-associative operators; the terms of && and || are collected in lists instead.
_BINARY: Final = {
    **{text: (1, name) for text, name in _RELATIONS.items()},
    **{text: (2, name) for text, name in _SUMS.items()},
    **{text: (3, name) for text, name in _PRODUCTS.items()},
}
# macro -> its possible numbers of arguments
_MACROS: Final = {
    "all": (2, 3),
    "exists": (2, 3),
    "exists_one": (2, 3),
    "existsOne": (2, 3),
    "map": (2, 3),
    "filter": (2,),
    "transformList": (3, 4),
    "transformMap": (3, 4),
    "transformMapEntry": (3, 4),
    "sortBy": (2,),
    "optMap": (2,),
    "optFlatMap": (2,),
}


def parse(source: str) -> Node:
    """Parse an expression. Raises CompilationError."""
    if len(source) > MAX_CODE_POINTS:
        size = f"expression code point size exceeds limit: size: {len(source)}, limit {MAX_CODE_POINTS}"
        raise CompilationError(size, text=f"ERROR: <input>:-1:0: {size}")
    try:
        return _Parser(source).parse()
    except SyntaxIssueError as error:
        raise CompilationError.at(source, [error.issue]) from None
    except RecursionError:
        raise too_deep() from None


def too_deep() -> CompilationError:
    """The error of an expression that is nested too deeply."""
    message = f"expression recursion limit exceeded: {MAX_DEPTH}"
    return CompilationError(message, text=f"ERROR: <input>:-1:0: {message}")


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens = tokenize(source)
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._expression()
        token = self._tokens[self._at]
        if token.kind != "end":
            last = self._tokens[self._at + 1].kind == "end"
            problem = "extraneous" if last and token.kind != "operator" else "mismatched"
            raise SyntaxIssueError(f"Syntax error: {problem} input '{token.text}' expecting <EOF>", token.offset)
        return node

    # Tokens

    def _peek(self, text: str) -> bool:
        token = self._tokens[self._at]
        return token.text == text and token.kind == "operator"

    def _accept(self, text: str) -> Token | None:
        token = self._tokens[self._at]
        if token.text == text and token.kind == "operator":
            self._at += 1
            return token
        return None

    def _expect(self, text: str) -> Token:
        token = self._accept(text)
        if token is None:
            raise self._mismatch(f"'{text}'")
        return token

    def _mismatch(self, expected: str = _EXPRESSION) -> SyntaxIssueError:
        token = self._tokens[self._at]
        return SyntaxIssueError(f"Syntax error: mismatched input '{token.text}' expecting {expected}", token.offset)

    def _deeper(self, levels: int = 1) -> None:
        self._depth += levels
        if self._depth > MAX_DEPTH:
            raise RecursionError

    # Expressions

    def _expression(self) -> Node:
        self._deeper()
        node = self._terms("||", "_||_")
        question = self._accept("?")
        if question is not None:
            then = self._terms("||", "_||_")
            self._expect(":")
            node = Call(question.offset, "_?_:_", [node, then, self._expression()])
        self._depth -= 1
        return node

    def _terms(self, operator: str, name: str) -> Node:
        disjunction = operator == "||"
        first = self._terms("&&", "_&&_") if disjunction else self._binary(1)
        if not self._peek(operator):
            return first
        terms, offset = [first], -1
        while (token := self._accept(operator)) is not None:
            offset = token.offset if offset < 0 else offset
            terms.append(self._terms("&&", "_&&_") if disjunction else self._binary(1))
        return Call(offset, name, terms)

    def _binary(self, strength: int) -> Node:
        left = self._unary()
        levels = 0
        while True:
            token = self._tokens[self._at]
            found = _BINARY.get(token.text) if token.kind == "operator" else None
            if found is None or found[0] < strength:
                self._depth -= levels
                return left
            self._at += 1
            self._deeper()
            levels += 1
            left = Call(token.offset, found[1], [left, self._binary(found[0] + 1)])

    def _unary(self) -> Node:
        token = self._tokens[self._at]
        if token.kind == "operator" and token.text in {"!", "-"}:
            count = 0
            while self._accept(token.text) is not None:
                count += 1
            return self._negated(token, count)
        return self._postfix(self._primary())

    def _negated(self, sign: Token, count: int) -> Node:
        number = self._tokens[self._at]
        literal = number.kind == "literal" and type(number.value) in {int, float}
        if sign.text == "-" and literal and number.offset == sign.offset + count:
            self._at += 1
            count -= 1
            node = self._postfix(Literal(number.offset - 1, -number.value))
        else:
            node = self._postfix(self._primary())
        # An even number of signs cancels out, as in cel-go.
        return Call(sign.offset, "!_" if sign.text == "!" else "-_", [node]) if count % 2 else node

    def _postfix(self, node: Node) -> Node:
        levels = 0
        while True:
            token = self._tokens[self._at]
            if token.kind != "operator" or token.text not in {".", "["}:
                self._depth -= levels
                return node
            self._at += 1
            self._deeper()
            levels += 1
            optional = self._accept("?") is not None
            if token.text == "[":
                index = self._expression()
                self._expect("]")
                node = Call(token.offset, "_[?_]" if optional else "_[_]", [node, index])
            else:
                node = self._member(node, token, optional)

    def _member(self, node: Node, dot: Token, optional: bool) -> Node:
        name = self._tokens[self._at]
        if name.kind not in {"name", "quoted"}:
            text = "".join(token.text for token in self._tokens[self._at - 1 : self._at + 1])
            raise SyntaxIssueError(f"Syntax error: no viable alternative at input '{text}'", name.offset)
        self._at += 1
        if name.kind == "name" and not optional and self._peek("("):
            opening = self._expect("(")
            return _member_call(opening.offset, node, name.text, self._arguments())
        field = name.text if name.kind == "name" else name.value
        return Select(dot.offset, node, field, optional=optional)

    def _arguments(self) -> list[Node]:
        if self._accept(")"):
            return []
        arguments = [self._expression()]
        while self._accept(","):
            arguments.append(self._expression())
        self._expect(")")
        return arguments

    def _primary(self) -> Node:
        token = self._tokens[self._at]
        if token.kind == "literal":
            self._at += 1
            if type(token.value) is int and token.value > INT_MAX:
                raise SyntaxIssueError("invalid int literal", token.offset)
            return Literal(token.offset, token.value)
        if token.kind == "name":
            return self._name("")
        if self._accept("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._accept("["):
            return self._list(token.offset)
        if self._accept("{"):
            return self._map(token.offset)
        if token.kind == "operator" and token.text == "." and self._tokens[self._at + 1].kind == "name":
            self._at += 1
            return self._name(".")
        raise self._mismatch()

    def _name(self, dot: str) -> Node:
        token = self._tokens[self._at]
        end = self._struct_name_end()
        if end is not None:
            name = dot + "".join(part.text for part in self._tokens[self._at : end])
            self._at = end
            return self._struct(name)
        self._at += 1
        if token.text in RESERVED:
            raise SyntaxIssueError(f"reserved identifier: {token.text}", token.offset)
        if self._peek("("):
            opening = self._expect("(")
            return _global_call(opening.offset, dot + token.text, self._arguments())
        return Ident(token.offset - len(dot), dot + token.text)

    def _struct_name_end(self) -> int | None:
        """The end of a message name such as ``a.b.C`` before an opening brace; None if there is none."""
        at = self._at + 1
        tokens = self._tokens
        while tokens[at].text == "." and tokens[at].kind == "operator" and tokens[at + 1].kind == "name":
            at += 2
        return at if tokens[at].text == "{" and tokens[at].kind == "operator" else None

    def _struct(self, name: str) -> Node:
        opening = self._expect("{")
        fields: list[tuple[int, str, Node, bool]] = []
        while not self._accept("}"):
            optional = self._accept("?") is not None
            token = self._tokens[self._at]
            if token.kind not in {"name", "quoted"}:
                raise self._mismatch("{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}")
            self._at += 1
            colon = self._expect(":")
            fields.append((colon.offset, token.value or token.text, self._expression(), optional))
            if not self._accept(","):
                self._expect("}")
                break
        return StructLiteral(opening.offset, name, fields)

    def _list(self, offset: int) -> Node:
        elements: list[Node] = []
        optional: list[bool] = []
        if self._accept(","):
            self._expect("]")
            return ListLiteral(offset, elements, optional)
        while not self._accept("]"):
            optional.append(self._accept("?") is not None)
            elements.append(self._expression())
            if not self._accept(","):
                self._expect("]")
                break
        return ListLiteral(offset, elements, optional)

    def _map(self, offset: int) -> Node:
        entries: list[tuple[Node, Node, bool]] = []
        if self._accept(","):
            self._expect("}")
            return MapLiteral(offset, entries)
        while not self._accept("}"):
            optional = self._accept("?") is not None
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression(), optional))
            if not self._accept(","):
                self._expect("}")
                break
        return MapLiteral(offset, entries)


def _global_call(offset: int, name: str, arguments: list[Node]) -> Node:
    if name == "has" and len(arguments) == 1:
        subject = arguments[0]
        if not isinstance(subject, Select) or subject.test or subject.optional:
            raise SyntaxIssueError("invalid argument to has() macro", subject.offset)
        return Select(offset, subject.operand, subject.field, test=True)
    return Call(offset, name, arguments)


def _member_call(offset: int, target: Node, name: str, arguments: list[Node]) -> Node:
    if len(arguments) not in _MACROS.get(name, ()):
        return Call(offset, name, arguments, target)
    if name in {"optMap", "optFlatMap"}:
        variable = _variable(arguments[0], f"{name}() variable name must be a simple identifier")
        return OptionalBind(offset, target, variable, arguments[1], flat=name == "optFlatMap")
    two = name.startswith("transform") or (name in {"all", "exists", "exists_one", "existsOne"} and len(arguments) == 3)
    complaint = (
        "argument is not an identifier" if name in {"map", "filter", "sortBy"} else "argument must be a simple name"
    )
    variable = _variable(arguments[0], complaint)
    second = ""
    if two:
        second = _variable(arguments[1], complaint)
        if second == variable:
            raise SyntaxIssueError(f"duplicate variable name: {variable}", arguments[1].offset)
    rest: list[Node] = arguments[2 if two else 1 :]
    if name in {"all", "exists", "exists_one", "existsOne", "filter"}:
        kind = "exists_one" if name == "existsOne" else name
        return Comprehension(offset, kind, target, variable, second, rest[0], None)
    predicate = rest[0] if len(rest) == 2 else None
    return Comprehension(offset, _KINDS.get(name, name), target, variable, second, predicate, rest[-1])


_KINDS: Final = {"transformList": "map", "sortBy": "sort_by"}


def _variable(node: Node, complaint: str) -> str:
    if not isinstance(node, Ident) or node.name.startswith("."):
        raise SyntaxIssueError(complaint, node.offset)
    if node.name == "__result__":
        raise SyntaxIssueError("iteration variable overwrites accumulator variable", node.offset)
    return node.name
