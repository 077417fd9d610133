"""Every module, and every public class, function and method, has a docstring, or that of what it overrides or implements."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import kcp


def modules() -> Iterator[ModuleType]:
    for info in pkgutil.walk_packages(kcp.__path__, "kcp."):
        if not info.name.endswith("__main__"):
            yield importlib.import_module(info.name)


def members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public classes and functions that the module defines."""
    for name, member in vars(module).items():
        defined = inspect.isclass(member) or inspect.isfunction(member)
        if defined and not name.startswith("_") and member.__module__ == module.__name__:
            yield name, member


def methods(class_: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that the class defines."""
    for name, attribute in vars(class_).items():
        function = getattr(attribute, "fget", None) or getattr(attribute, "func", None) or attribute
        function = getattr(function, "__func__", function)
        if not name.startswith("_") and inspect.isfunction(function) and function.__module__ == class_.__module__:
            yield name, getattr(class_, name)


def contracts() -> list[dict[str, str]]:
    """The docstrings of the members of each protocol."""
    found = [member for module in modules() for _, member in members(module) if getattr(member, "_is_protocol", False)]
    return [{name: inspect.getdoc(method) or "" for name, method in methods(protocol)} for protocol in found]


def test_everything_public_is_documented() -> None:
    protocols = contracts()
    missing = []
    for module in modules():
        missing += [] if module.__doc__ else [module.__name__]
        for name, member in members(module):
            missing += [] if inspect.getdoc(member) else [f"{module.__name__}.{name}"]
            if not inspect.isclass(member):
                continue
            there = set(dir(member))
            implemented = {key for each in protocols if each.keys() <= there for key, text in each.items() if text}
            missing += [
                f"{module.__name__}.{name}.{key}"
                for key, method in methods(member)
                if key not in implemented and not inspect.getdoc(method)
            ]
    assert missing == []
