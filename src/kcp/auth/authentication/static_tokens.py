"""Static bearer tokens: the file of ``--token-auth-file`` and the administrator's own.

The file format is that of the Kubernetes page "Authenticating", section "Static token file": CSV with token, user name, UID
and, in quotes, a comma-separated list of groups. Tokens are stored and looked up by their SHA-256, so that neither a memory
dump nor the time of a lookup reveals them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from kcp.auth.users import User, authenticated
from kcp.logical_clusters import LogicalClusterName

_SMALLEST_ROW: Final = 3
_ROW_WITH_GROUPS: Final = 4


class TokenFileError(ValueError):
    """A token file that cannot be used; the message names the line."""


class StaticTokens:
    """A fixed set of tokens."""

    def __init__(self, tokens: Iterable[tuple[str, User]] = ()) -> None:
        self.replace(tokens)

    def replace(self, tokens: Iterable[tuple[str, User]]) -> None:
        """Replace all tokens."""
        self._users = {sha256(token.encode()).digest(): user for token, user in tokens}

    def authenticate_token(self, token: bytes, cluster: LogicalClusterName) -> User | None:  # noqa: ARG002 - valid in all
        """Return the user of a token, or None when the token is not known here."""
        return self._users.get(sha256(token).digest())


def parse_token_file(content: bytes) -> list[tuple[str, User]]:
    """Return the tokens of a file and their users. Raises TokenFileError."""
    import csv  # most servers have no such file

    found: list[tuple[str, User]] = []
    try:
        rows = csv.reader(io.StringIO(content.decode(), newline=""), skipinitialspace=True)
        for number, row in enumerate(rows, start=1):
            fields = [field.strip() for field in row]
            if not any(fields) or fields[0].startswith("#"):
                continue
            if len(fields) < _SMALLEST_ROW:
                raise TokenFileError(f"line {number}: expected at least token, user name and user UID")
            token, name, uid = fields[:_SMALLEST_ROW]
            if not token or not name:
                raise TokenFileError(f"line {number}: the token and the user name may not be empty")
            groups = fields[_SMALLEST_ROW].split(",") if len(fields) >= _ROW_WITH_GROUPS else ()
            members = tuple(group.strip() for group in groups if group.strip())
            found.append((token, authenticated(name, uid, members)))
    except UnicodeDecodeError as error:
        raise TokenFileError(f"not a CSV file: not UTF-8 at byte {error.start}") from None
    except csv.Error as error:
        raise TokenFileError(f"not a CSV file: {error}") from error
    return found
