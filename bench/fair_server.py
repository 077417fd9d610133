"""The server that `bench.fairness` measures: each user may do everything in the logical cluster of the user's name.

python -m bench.fair_server DIRECTORY TOKEN_FILE
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from pathlib import Path

import uvloop

from kcp.auth.authorization.attributes import AuthorizationAttributes
from kcp.auth.authorization.authorizer import ALLOWED, Decision
from kcp.auth.authorization.rbac.authorizer import RBACAuthorizer
from kcp.auth.users import User
from kcp.server.process.allocator import return_large_allocations
from kcp.server.process.configuration import Configuration
from kcp.server.process.parts import Parts
from kcp.server.process.running import ServerProcess, serve_until_signalled


class Owners(RBACAuthorizer):
    """Allows each user everything in one logical cluster."""

    def decide(self, user: User, attributes: AuthorizationAttributes) -> Decision | Awaitable[Decision]:
        """Decide one request."""
        return ALLOWED if user.name == attributes.cluster else super().decide(user, attributes)


def main() -> None:
    """Serve until a signal."""
    directory, tokens = Path(sys.argv[1]), Path(sys.argv[2])
    configuration = Configuration(root_directory=directory, secure_port=0, token_auth_file=tokens)
    process = ServerProcess(configuration, Parts(authorizers=lambda environment: [Owners(environment.policies)]))
    return_large_allocations()
    uvloop.run(serve_until_signalled(process, lambda ready: print(f"ready {ready.url}", flush=True)))


if __name__ == "__main__":
    main()
