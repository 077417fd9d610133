"""A member of etcd that can fall silent: it answers pings and calls, but its watches send nothing."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from kcp.store.etcd.messages import METHODS
from kcp.store.silent_grpc import load_grpc

_STREAMS = ("Watch", "LeaseKeepAlive")


class SilentMember:
    """A proxy of a member that passes calls on as bytes. While ``silent``, it drops the responses of watches."""

    def __init__(self) -> None:
        self.silent = False
        self.lost = 0
        """Responses that were lost."""

    def handlers(self, grpc: Any, channel: Any) -> list[Any]:
        """The handlers of all calls that the client makes."""
        services: dict[str, dict[str, Any]] = defaultdict(dict)
        for method, (service, _, _) in METHODS.items():
            path = f"/etcdserverpb.{service}/{method}"
            if method in _STREAMS:
                handler = grpc.stream_stream_rpc_method_handler(self._streamed(channel.stream_stream(path), method))
            else:
                handler = grpc.unary_unary_rpc_method_handler(_answered(channel.unary_unary(path)))
            services[f"etcdserverpb.{service}"][method] = handler
        return [grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items()]

    def _streamed(self, call: Any, method: str) -> Any:
        async def answers(requests: AsyncIterator[bytes], _: Any) -> AsyncGenerator[bytes, None]:
            async for response in call(requests):
                if self.silent and method == "Watch":
                    self.lost += 1
                else:
                    yield response

        return answers


def _answered(call: Any) -> Any:
    async def answer(request: bytes, context: Any) -> Any:
        return await call(request, timeout=context.time_remaining())

    return answer


@contextlib.asynccontextmanager
async def silent_member(url: str) -> AsyncGenerator[tuple[SilentMember, str], None]:
    """Serve a member that can fall silent. Yields it and its URL."""
    grpc = load_grpc()
    member = SilentMember()
    async with grpc.aio.insecure_channel(url.removeprefix("http://")) as channel:
        server = grpc.aio.server(handlers=member.handlers(grpc, channel))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield member, f"http://127.0.0.1:{port}"
        finally:
            await server.stop(None)
