"""Kubernetes' semantic version library: https://semver.org, and the lenient form with `normalize`."""

import re
from functools import total_ordering
from typing import Any, Final

from kcp.cel import call_costs as cost
from kcp.cel.declarations import Row
from kcp.cel.errors import EvaluationError
from kcp.cel.values import UINT_MAX, Opaque

_NUMBER: Final = r"(0|[1-9][0-9]{0,19})"
_VERSION: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z.-]+))?(?:\+([0-9A-Za-z.-]+))?\Z")


@total_ordering
class Semver(Opaque):
    """A version, ordered by precedence; build metadata is ignored."""

    __slots__ = ("order", "release")
    cel_type = "kubernetes.Semver"

    def __init__(self, release: tuple[int, int, int], prerelease: tuple[str, ...]) -> None:
        self.release = release
        # A version without prerelease has higher precedence; numeric identifiers have lower precedence.
        parts: tuple[Any, ...] = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease)
        self.order = (release, not prerelease, parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self.order == other.order

    def __hash__(self) -> int:
        return hash(self.order)

    def __lt__(self, other: "Semver") -> bool:
        return self.order < other.order


def _parse(text: str) -> Semver:
    match = _VERSION.match(text)
    if match is None:
        raise EvaluationError(f'Invalid Semantic Version: "{text}"')
    major, minor, patch, prerelease, build = match.groups()
    release = (int(major), int(minor), int(patch))
    parts = tuple(prerelease.split(".")) if prerelease else ()
    if max(release) > UINT_MAX or any(not part for part in (*parts, *(build.split(".") if build else ()))):
        raise EvaluationError(f'Invalid Semantic Version: "{text}"')
    if any(part.isdigit() and (len(part) > 20 or (len(part) > 1 and part[0] == "0")) for part in parts):
        raise EvaluationError(f"Numeric PreRelease version must not contain leading zeroes: {text}")
    return Semver(release, parts)


def semver(text: str, normalize: bool = False) -> Semver:
    """Parse a version; `normalize` allows a ``v`` prefix, leading zeros and missing numbers. Raises EvaluationError."""
    if not normalize:
        return _parse(text)
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[index] = stripped if stripped and stripped[0] in "0123456789" else f"0{stripped}"
    if len(parts) < 3:
        if "+" in parts[-1] or "-" in parts[-1]:
            raise EvaluationError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return _parse(".".join(parts))


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        semver(text, normalize)
    except EvaluationError:
        return False
    return True


def _compare(left: Semver, right: Semver) -> int:
    return (left.order > right.order) - (left.order < right.order)


def _is_greater(left: Semver, right: Semver) -> bool:
    return left.order > right.order


def _is_less(left: Semver, right: Semver) -> bool:
    return left.order < right.order


def _major(version: Semver) -> int:
    return version.release[0]


def _minor(version: Semver) -> int:
    return version.release[1]


def _patch(version: Semver) -> int:
    return version.release[2]


ROWS: Final[list[Row]] = [
    ("string_to_semver", "semver(string): semver", semver, cost.text),
    ("string_bool_to_semver", "semver(string, bool): semver", semver, cost.text),
    ("is_semver_string", "isSemver(string): bool", _is_semver, cost.text),
    ("is_semver_string_bool", "isSemver(string, bool): bool", _is_semver, cost.text),
    ("semver_is_greater_than", "semver.isGreaterThan(semver): bool", _is_greater),
    ("semver_is_less_than", "semver.isLessThan(semver): bool", _is_less),
    ("semver_compare_to", "semver.compareTo(semver): int", _compare),
    ("semver_major", "semver.major(): int", _major),
    ("semver_minor", "semver.minor(): int", _minor),
    ("semver_patch", "semver.patch(): int", _patch),
]
