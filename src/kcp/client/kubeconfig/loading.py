"""Which kubeconfig files are read and how they are merged: kubectl's rules (clientcmd's ClientConfigLoadingRules).

An explicit file is read alone and must exist. Else the files of ``KUBECONFIG`` count, or ``~/.kube/config``; missing files
are skipped. The first file that sets the current context, or defines an entry of a name, wins; entries are not merged field
by field.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from kcp.client.errors import ConfigurationError
from kcp.client.kubeconfig.entries import Kubeconfig
from kcp.client.kubeconfig.parsing import read_file


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Kubeconfig:
    """Read one file, or the files of an environment (default: that of the process). Raises ConfigurationError."""
    if path is not None:
        try:
            return read_file(path.absolute())
        except FileNotFoundError as error:
            raise ConfigurationError(f"{path}: there is no such kubeconfig") from error
    found = []
    for candidate in default_files(os.environ if environment is None else environment):
        try:
            found.append(read_file(candidate))
        except FileNotFoundError:
            continue
    return merge(found)


def default_files(environment: Mapping[str, str]) -> list[Path]:
    """Return the kubeconfig files of an environment, without duplicates, in their order."""
    listed = environment.get("KUBECONFIG", "")
    if listed:
        return list(dict.fromkeys(Path(name).absolute() for name in listed.split(os.pathsep) if name))
    home = environment.get("HOME")
    return [(Path(home) if home else Path.home()) / ".kube" / "config"]


def merge(configurations: Sequence[Kubeconfig]) -> Kubeconfig:
    """Merge kubeconfigs. Of entries with the same name, the first is used."""
    backwards = configurations[::-1]
    return Kubeconfig(
        clusters={name: entry for each in backwards for name, entry in each.clusters.items()},
        users={name: entry for each in backwards for name, entry in each.users.items()},
        contexts={name: entry for each in backwards for name, entry in each.contexts.items()},
        current_context=next((each.current_context for each in configurations if each.current_context), ""),
        files=tuple(file for each in configurations for file in each.files),
    )
