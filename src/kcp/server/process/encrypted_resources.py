"""Which resources the rules of an EncryptionConfiguration may name, and in which order.

The rules and messages are kube-apiserver's (``validateResourceNames``, ``validateResourceOverlap``, and the masking that
``encryptionconfig`` refuses).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from kcp.api.field_errors import FieldError, invalid

_ALL: Final = ("*", "*")
_INTERNAL: Final = frozenset({"apiserveripinfo", "serviceipallocations", "servicenodeportallocations"})
_OVERLAP: Final = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed "
    "as they will be masked"
)
_DUPLICATE: Final = "the same resource cannot be specified multiple times"
_EVENTS: Final = (
    "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
)
_STAR: Final = "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"

GroupResource = tuple[str, str]
"""Resource and group."""


def parsed(name: str) -> GroupResource:
    """Split ``widgets.example.com`` into resource and group; ``secrets`` and ``*.`` are of the core group."""
    resource, _, group = name.partition(".")
    return resource, group


def name_errors(names: Sequence[str], path: str) -> Iterator[FieldError]:
    """Yield what is wrong with the names of one rule."""
    yield from _overlap_errors(names, path)
    for index, name in enumerate(names):
        if problem := _name_problem(name):
            yield invalid(f"{path}[{index}]", name, problem)


def _name_problem(name: str) -> str | None:
    resource, group = parsed(name)
    for applies, problem in (
        (name.lower() != name, "resource name should not contain capital letters"),
        (name == "*", _STAR),
        (name in _INTERNAL, "resources which do not have REST API/s cannot be encrypted"),
        (group == "events.k8s.io", _EVENTS),
        (group == "extensions", "'extensions' group has been removed and cannot be used for encryption"),
        (group == "*" and resource != "*", "encrypting the same resource across groups is not supported"),
    ):
        if applies:
            return problem
    return None


def _overlap_errors(names: Sequence[str], path: str) -> Iterator[FieldError]:
    found = [parsed(name) for name in names]
    distinct = set(found)
    if len(distinct) < len(found):
        yield invalid(path, list(names), _DUPLICATE)
    groups_with_all = {group for resource, group in distinct if resource == "*"}
    masked = any(resource != "*" and group in groups_with_all for resource, group in distinct)
    if masked or (_ALL in distinct and len(distinct) > 1):
        yield invalid(path, list(names), _OVERLAP)


def order_errors(rules: Sequence[Sequence[str]]) -> list[FieldError]:
    """What is wrong with the order of rules: a wildcard masks what a later rule names."""
    errors: list[FieldError] = []
    earlier: set[GroupResource] = set()
    for index, names in enumerate(rules):
        for position, name in enumerate(names):
            _, group = parsed(name)
            for mask in (("*", group), _ALL):
                if mask in earlier:
                    problem = f'resource "{name}" is masked by earlier rule "{mask[0]}.{mask[1]}"'
                    errors.append(invalid(f"resources[{index}].resources[{position}]", name, problem))
                    break
        earlier.update(map(parsed, names))
    return errors
