"""The levels at which a request is recorded, and the stages of a request that have events, as audit.k8s.io/v1 names them."""

from __future__ import annotations

from typing import Final

NONE: Final = "None"
METADATA: Final = "Metadata"
REQUEST: Final = "Request"
REQUEST_RESPONSE: Final = "RequestResponse"
LEVELS: Final = (NONE, METADATA, REQUEST, REQUEST_RESPONSE)

REQUEST_RECEIVED: Final = "RequestReceived"
RESPONSE_STARTED: Final = "ResponseStarted"
RESPONSE_COMPLETE: Final = "ResponseComplete"
PANIC: Final = "Panic"
STAGES: Final = (REQUEST_RECEIVED, RESPONSE_STARTED, RESPONSE_COMPLETE, PANIC)
