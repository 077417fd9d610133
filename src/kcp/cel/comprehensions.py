"""Code generation of comprehensions as Python loops."""

from typing import Any, Final

from kcp.cel import operators as op
from kcp.cel.call_costs import compared_with_all
from kcp.cel.code_emitter import Emitter, Fragment
from kcp.cel.errors import EvaluationError
from kcp.cel.limits import visits
from kcp.cel.syntax import Comprehension

# kind -> (cost of the fold without its iterations, of an iteration without predicate and body, of an executed step)
_COSTS: Final = {
    "all": (1, 3, 0),
    "exists": (1, 4, 0),
    "exists_one": (2, 0, 2),
    "filter": (1, 0, 13),
    "map": (1, 0, 12),
    "sort_by": (3, 0, 12),
    "transformMap": (1, 0, 3),
    "transformMapEntry": (1, 0, 2),
}


def insert(result: dict[Any, Any], key: Any, value: Any) -> None:
    """Insert a new entry into the map that a comprehension builds."""
    if key in result:
        raise EvaluationError(f"insert failed: key {op.format_key(key)} already exists")
    result[key] = value


def _counted(entries: dict[Any, Any]) -> dict[Any, Any]:
    visits().count_container(entries)
    return entries


def sort_by(items: list[Any], keys: list[Any]) -> list[Any]:
    """Sort the items by their keys."""
    if len({type(key) for key in keys}) > 1:
        raise EvaluationError("list elements must have the same type")
    return [items[index] for index in sorted(range(len(keys)), key=keys.__getitem__)]


class Loops(Emitter):
    """The comprehensions of the code generator."""

    def comprehension(self, node: Comprehension) -> Fragment:
        """Generate the loop of a comprehension; the fragment is its result."""
        source = self.emit(node.range)
        items = self.reusable(source)
        if node.range.type.kind not in {"list", "map"}:
            items = self.temporary(f"{self.converted_code(source)}")
        result = self._fresh()
        start = {"all": "True", "exists": "False", "exists_one": "0", "transformMap": "{}", "transformMapEntry": "{}"}
        self._line(f"{result} = {start.get(node.kind, '[]')}")
        error = ""
        if node.kind in {"all", "exists"}:
            error = self._fresh("e")
            self._line(f"{error} = None")
        self._cost += _COSTS[node.kind][0]
        head, first, second = self._loop(node, items)
        with self._block(head):
            self._cost += _COSTS[node.kind][1]
            self._flush()
            self._line("if c > limit: raise Over(True)")
            with self._variable(node.variable, Fragment(first, safe=True)):
                if node.second:
                    with self._variable(node.second, Fragment(second, safe=True)):
                        self._body(node, result, error, first)
                else:
                    self._body(node, result, error, first)
        if error:
            decided = f"not {result}" if node.kind == "all" else result
            self._line(f"if {error} is not None and not {'(' + decided + ')'}: raise {error}")
        if node.kind == "exists_one":
            return Fragment(f"({result} == 1)", safe=True)
        if node.kind == "sort_by":
            return self._sorted(source, items, result)
        return Fragment(result, safe=True)

    def _sorted(self, source: Fragment, items: str, keys: str) -> Fragment:
        self._line(f"c += {self.constant(compared_with_all)}(None, {keys})")
        return Fragment(f"sort_by({self.converted_code(Fragment(items, convert=source.convert))}, {keys})")

    def _loop(self, node: Comprehension, items: str) -> tuple[str, str, str]:
        first, second = self._fresh("x"), self._fresh("y")
        kind = node.range.type.kind
        if not node.second:
            return f"for {first} in {items if kind in {'list', 'map'} else f'iterate({items})'}:", first, second
        source = {"list": f"enumerate({items})", "map": f"{items}.items()"}.get(kind, f"pairs({items})")
        return f"for {first}, {second} in {source}:", first, second

    def _body(self, node: Comprehension, result: str, error: str, first: str) -> None:
        if node.kind in {"all", "exists"}:
            self._quantifier(node, result, error)
            return
        if node.predicate is not None:
            with self._block(f"if {self.condition(node.predicate)}:"):
                self._step(node, result, first)
        else:
            self._step(node, result, first)

    def _quantifier(self, node: Comprehension, result: str, error: str) -> None:
        assert node.predicate is not None
        conjunction = node.kind == "all"
        term = self._fresh()
        self._guarded(node.predicate, term, conjunction, error)
        # A failing term does not determine the result: it counts as true in all(), as false in exists().
        if not conjunction:
            self._line(f"if {term}: {result} = True; break")
        else:
            self._line(f"if not {term}: {result} = False; break")

    def _step(self, node: Comprehension, result: str, first: str) -> None:
        self._cost += _COSTS[node.kind][2]
        if node.kind == "exists_one":
            self._line(f"{result} += 1")
        elif node.kind == "filter":
            # The element becomes part of a new list, so it is converted.
            convert = (
                self._converter_name(node.range.schema.element)
                if node.range.schema is not None and node.range.type.kind == "list"
                else ""
            )
            self._line(f"{result}.append({convert}({first}))" if convert else f"{result}.append({first})")
        elif node.kind in {"map", "sort_by"}:
            assert node.body is not None
            self._line(f"{result}.append({self.converted(node.body)})")
        elif node.kind == "transformMap":
            assert node.body is not None
            self._line(f"insert({result}, {first}, {self.converted(node.body)})")
        else:
            assert node.body is not None
            key, value = self._fresh("x"), self._fresh("y")
            entries = self.converted(node.body)
            self._line(
                f"for {key}, {value} in {self.constant(_counted)}({entries}).items(): insert({result}, {key}, {value})"
            )
