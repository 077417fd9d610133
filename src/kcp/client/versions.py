"""Comparing resource versions (KEP-5504: they are decimal numbers). Versions of other forms cannot be compared."""

from __future__ import annotations


def is_older(version: str, other: str) -> bool:
    """Whether a version is older than another one. False if they cannot be compared."""
    if version.isdigit() and other.isdigit():
        return (len(version), version) < (len(other), other)
    return False
