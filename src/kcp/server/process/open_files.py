"""The limit on open files of the process."""

from __future__ import annotations

import contextlib
import resource


def allow_many_files() -> None:
    """Raise the limit on open files to the hard limit: each connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems refuse their own hard limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
