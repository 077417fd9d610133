"""The server that `bench.fairness` measures: each user may do everything in the logical cluster of the user's name.

python -m bench.fair_server DIRECTORY TOKEN_FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, NO_OPINION, Decision, Rules
from kcp.auth.users import User
from kcp.logical_clusters import LogicalClusterName
from kcp.server.process.allocator import return_large_allocations
from kcp.server.process.configuration import Configuration
from kcp.server.process.parts import Parts
from kcp.server.process.running import ServerProcess, serve_until_signalled


class Owners:
    """Allows each user everything in one logical cluster. It needs nothing of the server, so that older ones can be measured."""

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision:
        """Decide one request."""
        return ALLOWED if user.name == attributes.cluster else NO_OPINION

    async def rules_for(self, user: User, cluster: LogicalClusterName, namespace: str) -> Rules:  # noqa: ARG002 - nobody asks
        """Return no rules."""
        return Rules((), ())


def main() -> None:
    """Serve until a signal."""
    directory, tokens = Path(sys.argv[1]), Path(sys.argv[2])
    configuration = Configuration(root_directory=directory, secure_port=0, token_auth_file=tokens)
    process = ServerProcess(configuration, Parts(authorizers=lambda _: [Owners()]))
    return_large_allocations()
    uvloop.run(serve_until_signalled(process, lambda ready: print(f"ready {ready.url}", flush=True)))


if __name__ == "__main__":
    main()
