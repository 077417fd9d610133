"""kcp.client: against a real kcp, and against real servers that misbehave on purpose."""
