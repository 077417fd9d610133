"""Health over plain HTTP/1.0 and HTTP/1.1, for load balancers and probes: ``--healthz-bind-address``.

The API is served over TLS by a library that refuses HTTP/1.0, which the health checks of HAProxy and nginx use. This listener
serves ``/livez``, ``/readyz`` and ``/healthz`` as the API does, and nothing else, so it needs no credentials. As in kube-proxy
and the kubelet it is plain HTTP on an address of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from kcp.plain_http import NOT_FOUND, Response
from kcp.server.observability.health import ENDPOINTS, Health


def health_responses(health: Health) -> Callable[[str], Response]:
    """Return the function that answers requests of the health of a server by their targets."""

    def respond(target: str) -> Response:
        try:
            parts = urlsplit(target)
        except ValueError:
            return Response(400, b"Bad Request\n")
        endpoint, _, check = parts.path.removeprefix("/").partition("/")
        if endpoint not in ENDPOINTS:
            return NOT_FOUND
        query = parse_qs(parts.query, keep_blank_values=True)
        found = health.answer(endpoint, check, verbose="verbose" in query, exclude=query.get("exclude", []))
        return NOT_FOUND if found is None else Response(found.status, found.text.encode())

    return respond
