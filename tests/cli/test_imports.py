"""What a plain start imports and reads: nothing that only other configurations, commands or requests use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import asyncio, sys
from pathlib import Path
import kcp.cli.main, kcp.cli.start, kcp.embedding
from kcp.auth.authorization.rbac.default_policy import default_policy
from kcp.server.process.configuration import Configuration
from kcp.server.process.running import ServerProcess

async def start():
    process = ServerProcess(Configuration(root_directory=Path(sys.argv[1]), secure_port=0))
    await process.start()
    unused = [name for name in sys.modules if (name + ".").startswith(tuple(sys.argv[2:]))]
    print(unused, default_policy.cache_info().currsize)
    await process.stop()

asyncio.run(start())
"""
UNUSED = (
    *("aiohttp.", "grpc.", "jwt.", "re2."),
    *("kcp.client.", "kcp.outbound.clients.", "kcp.auth.authentication.oidc.", "kcp.auth.authorization.webhook."),
    *("kcp.schema.configuration_files.", "kcp.store.encryption.opening.", "kcp.store.encryption.kms."),
    *("kcp.server.audit.policy_file.", "kcp.server.audit.log_backend.", "kcp.server.audit.webhook_backend."),
    *("kcp.server.audit.policy.", "kcp.server.audit.trail.", "kcp.server.requests.audit_events."),
    *("kcp.store.encryption.options.", "kcp.auth.authorization.impersonation.", "kcp.registry.documents.openapi."),
)


def test_a_plain_start_imports_and_reads_only_what_it_uses(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / ".kcp"), *UNUSED], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[] 0"
