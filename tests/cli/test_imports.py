"""What starting a server imports: not the HTTP client, which only controllers outside of it use."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
import kcp.cli.main, kcp.cli.start, kcp.embedding, kcp.server.process.running, kcp.server.process.parts
print([name for name in sys.modules if name.partition(".")[0] == "aiohttp" or name.startswith("kcp.client")])
"""


def test_a_server_does_not_import_the_client() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
