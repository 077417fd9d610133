"""A real server that writes an audit log, and the events that it has written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kcp.server.audit.options import AuditOptions
from kcp.server.process.parts import Parts
from tests.support.running_server import RunningServer
from tests.support.waiting import wait_until

EVERYTHING: dict[str, Any] = {"rules": [{"level": "RequestResponse"}]}


def policy_text(policy: dict[str, Any]) -> str:
    """The policy as a file; JSON is YAML."""
    return json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **policy})


@dataclass
class AuditedServer:
    """A running server, its policy file and its audit log."""

    running: RunningServer
    policy: Path
    log: Path

    def lines(self) -> list[str]:
        """The lines of the log, without one that is being written."""
        whole, _, _ = self.log.read_text().rpartition("\n")
        return whole.splitlines()

    def events(self, audit_id: str = "") -> list[dict[str, Any]]:
        """The events of the log in their order, of one request where it is named."""
        found = [json.loads(line) for line in self.lines()]
        return [event for event in found if not audit_id or event["auditID"] == audit_id]

    def complete(self, audit_id: str) -> dict[str, Any]:
        """The event of a complete request, once it is written."""

        def written() -> list[dict[str, Any]]:
            return [event for event in self.events(audit_id) if event["stage"] == "ResponseComplete"]

        (event,) = wait_until(written, f"the event of {audit_id}")
        return event


@contextlib.contextmanager
def audited(
    folder: Path, policy: dict[str, Any], parts: Parts | None = None, *, log: Path | None = None, **options: Any
) -> Iterator[AuditedServer]:
    """Run a server with a policy."""
    folder.mkdir(parents=True, exist_ok=True)
    policy_file, log = folder / "policy.yaml", log or folder / "audit.log"
    policy_file.write_text(policy_text(policy))
    chosen = AuditOptions(policy_file=policy_file, log_path=log, **options)
    with RunningServer(folder / ".kcp", parts, audit=chosen) as running:
        yield AuditedServer(running, policy_file, log)
