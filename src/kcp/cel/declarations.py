"""Function declarations: overloads with their signature, implementation and cost.

A library in `kcp.cel.libraries` declares its functions as rows of a table: the overload id of cel-go, a signature such as
``string.indexOf(string, int): int`` or ``size(list<A>): int``, the implementation, and the actual cost if it is not 1. The
static estimate of a cost that depends on sizes is looked up by overload id or function name in `kcp.cel.call_cost_estimates`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from kcp.cel import types
from kcp.cel.types import Type
from kcp.cel.values import no_such_overload, type_name

CallCost = Callable[..., int]
"""Gives the cost of one call from its result and its arguments."""


class Overload(NamedTuple):
    """One overload of a function; for a receiver-style call, `arguments` starts with the receiver."""

    id: str
    function: str
    member: bool
    arguments: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]
    cost: CallCost | None = None
    generic: bool = False


Row = tuple[str, str, Callable[..., Any]] | tuple[str, str, Callable[..., Any], CallCost]

_SIGNATURE: Final = re.compile(
    r"(?:(?P<target>[a-z_A-Z]+(?:<.*?>+)?)\.)?(?P<name>[\w.@?:\[\]!<>=&|+*/%-]+?)\((?P<arguments>.*)\): (?P<result>.+)\Z"
)
_QUALIFIED: Final = re.compile(r"(?P<name>(?:[a-z]\w*\.)+@?\w+)\((?P<arguments>.*)\): (?P<result>.+)\Z")
_NAMED: Final = {
    **{str(type_): type_ for type_ in (types.BOOL, types.INT, types.UINT, types.DOUBLE, types.STRING, types.BYTES)},
    **{str(type_): type_ for type_ in (types.TIMESTAMP, types.DURATION, types.DYN, types.NULL)},
    "url": types.URL,
    "quantity": types.QUANTITY,
    "semver": types.SEMVER,
    "namedFormat": types.NAMED_FORMAT,
    "netIP": types.IP,
    "netCIDR": types.CIDR,
    **{name: Type("param", name) for name in "ABKTV"},
}


def parse_type(text: str, names: Mapping[str, Type] = _NAMED) -> Type:
    """Parse a type of a signature: ``list<A>``, ``map<K, V>``, ``optional<V>``, ``type<A>`` or a name."""
    text = text.strip()
    if "<" not in text:
        return names[text]
    name, inner = text.split("<", 1)
    parameters = tuple(parse_type(part, names) for part in _split(inner[:-1]))
    if name == "optional":
        return types.optional_of(parameters[0])
    return Type(name, parameters=parameters)


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character == "<") - (character == ">")
        if character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    last = text[start:].strip()
    return [*parts, last] if last else parts


def overload(row: Row, names: Mapping[str, Type] = _NAMED, *, namespaced: bool = False) -> Overload:
    """Parse a row; with `namespaced`, a dotted name such as ``optional.of(V)`` is a function name, not a receiver."""
    match = (_QUALIFIED if namespaced else _SIGNATURE).match(row[1])
    assert match is not None, row[1]
    target = None if namespaced else match["target"]
    arguments = tuple(parse_type(part, names) for part in _split(match["arguments"]))
    if target is not None:
        arguments = (parse_type(target, names), *arguments)
    result = parse_type(match["result"], names)
    generic = any(_has_parameter(type_) for type_ in (*arguments, result))
    cost = row[3] if len(row) == 4 else None
    return Overload(row[0], match["name"], target is not None, arguments, result, row[2], cost, generic)


def _has_parameter(type_: Type) -> bool:
    return type_.kind == "param" or any(_has_parameter(inner) for inner in type_.parameters)


class Functions:
    """A set of declared functions, by name."""

    def __init__(self) -> None:
        self._overloads: dict[str, list[Overload]] = {}

    def add(self, rows: Iterable[Row], *, namespaced: bool = False) -> None:
        """Declare the overloads of these rows."""
        for row in rows:
            declared = overload(row, namespaced=namespaced)
            self._overloads.setdefault(declared.function, []).append(declared)

    def extended(self, rows: Iterable[Row], names: Mapping[str, Type]) -> "Functions":
        """Make a copy with more functions; `names` are additional type names for their signatures."""
        result = Functions()
        result._overloads = {name: list(overloads) for name, overloads in self._overloads.items()}
        for row in rows:
            declared = overload(row, {**_NAMED, **names})
            result._overloads.setdefault(declared.function, []).append(declared)
        return result

    def changed(self, change: Callable[[Overload], Overload | None]) -> "Functions":
        """Make a copy in which `change` replaces each overload; it returns None for one that is left out."""
        result = Functions()
        for name, overloads in self._overloads.items():
            kept = [new for old in overloads if (new := change(old)) is not None]
            if kept:
                result._overloads[name] = kept
        return result

    @property
    def names(self) -> Sequence[str]:
        """The names of the declared functions."""
        return tuple(self._overloads)

    def find(self, name: str) -> list[Overload] | None:
        """The overloads of a function; None if it is not declared."""
        return self._overloads.get(name)


_RUNTIME_NAMES: Final = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


def _wanted(type_: Type) -> str | None:
    """The runtime type name that an argument of this type must have; None for any."""
    if type_.kind in {"dyn", "param"}:
        return None
    return type_.name if type_.kind in {"opaque", "object"} else _RUNTIME_NAMES.get(type_.kind, type_.kind)


def dispatcher(overloads: list[Overload]) -> Callable[..., Any]:
    """Make a function that selects the overload by the runtime types of its arguments."""
    wanted = [(tuple(_wanted(type_) for type_ in one.arguments), one.call) for one in overloads]
    # Cache by Python types; there are about twenty of them.
    known: dict[tuple[type, ...], Callable[..., Any]] = {}

    def dispatch(*arguments: Any) -> Any:
        call = known.get(tuple(map(type, arguments)))
        if call is None:
            call = known[tuple(map(type, arguments))] = _pick(wanted, arguments)
        return call(*arguments)

    return dispatch


def _pick(
    wanted: list[tuple[tuple[str | None, ...], Callable[..., Any]]], arguments: tuple[Any, ...]
) -> Callable[..., Any]:
    names = [type_name(argument) for argument in arguments]
    for expected, call in wanted:
        if len(expected) == len(names) and all(
            want is None or want == name for want, name in zip(expected, names, strict=True)
        ):
            return call
    raise no_such_overload()
