"""Reading of raw schemas that nobody has checked yet: what has the wrong JSON type reads as absent."""

from collections.abc import Iterator
from typing import Any

Raw = dict[str, Any]


def schema(raw: Raw, keyword: str) -> Raw | None:
    """The schema under a keyword."""
    found = raw.get(keyword)
    return found if isinstance(found, dict) else None


def schemas(raw: Raw, keyword: str) -> list[Raw]:
    """The list of schemas under a keyword."""
    return objects(raw.get(keyword))


def properties(raw: Raw, keyword: str = "properties") -> dict[str, Raw]:
    """The schemas by name under a keyword."""
    found = raw.get(keyword)
    return (
        {str(name): each for name, each in found.items() if isinstance(each, dict)} if isinstance(found, dict) else {}
    )


def text(raw: Raw, keyword: str) -> str:
    """The string under a keyword."""
    found = raw.get(keyword)
    return found if isinstance(found, str) else ""


def strings(raw: Raw, keyword: str) -> list[str]:
    """The list of strings under a keyword."""
    found = raw.get(keyword)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def number(raw: Raw, keyword: str) -> int | None:
    """The integer under a keyword."""
    found = raw.get(keyword)
    return found if type(found) is int else None


def flag(raw: Raw, keyword: str) -> bool:
    """Whether the keyword is true."""
    return raw.get(keyword) is True


def objects(found: Any) -> list[Raw]:
    """The objects of a list."""
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def places(raw: Raw) -> Iterator[Raw]:
    """A schema and all schemas inside it."""
    yield raw
    children = [*properties(raw).values(), *properties(raw, "definitions").values()]
    children += [each for keyword in ("allOf", "anyOf", "oneOf") for each in schemas(raw, keyword)]
    children += [each for keyword in ("items", "additionalProperties", "not") if (each := schema(raw, keyword))]
    for child in children:
        yield from places(child)
