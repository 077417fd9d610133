"""A thousand tenants, each a Kubernetes API server of its own to its users, in one process and one file.

    python examples/4-many-tenants/tenants.py [COUNT]

Nothing is set up for a tenant: a logical cluster is there as soon as something is written under its path.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from kcp.testing import Server

CONFIG_MAPS = "api/v1/namespaces/default/configmaps"


class Client:
    """One connection to a server."""

    def __init__(self, server: Server) -> None:
        parts = urlsplit(server.url)
        trust = ssl.create_default_context(cafile=str(server.certificate_authority))
        self._connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=trust)
        self._headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return the decoded response. Raises RuntimeError for a refusal."""
        self._connection.request(method, path, json.dumps(body) if body else None, self._headers)
        answer = self._connection.getresponse()
        found = json.loads(answer.read())
        if answer.status >= 400:
            raise RuntimeError(found["message"])
        return found


def main(count: int) -> None:
    """Create a ConfigMap for each tenant, list across all tenants, and list in one of them."""
    with Server() as server:
        client = Client(server)
        began = time.perf_counter()
        for number in range(count):
            greeting = {"metadata": {"name": "greeting"}, "data": {"tenant": str(number)}}
            client.request("POST", f"/clusters/tenant-{number}/{CONFIG_MAPS}", greeting)
        print(f"{count} tenants in {time.perf_counter() - began:.1f} s")

        everywhere = client.request("GET", "/clusters/*/api/v1/configmaps")["items"]
        homes = {item["metadata"]["annotations"]["kcp.io/cluster"] for item in everywhere}
        print(f"one list: {len(everywhere)} objects of {len(homes)} logical clusters")

        inside = client.request("GET", f"/clusters/tenant-7/{CONFIG_MAPS}")["items"]
        names = [item["metadata"]["name"] for item in inside]
        print(f"tenant-7 sees {', '.join(names)}: {inside[0]['data']}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
