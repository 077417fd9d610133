"""A member of etcd that may fall silent: it answers pings and calls, but its watches send nothing any more."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc

_STREAMS = ("/Watch", "/LeaseKeepAlive")


class SilentMember(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Passes calls to a member, as bytes. While ``silent``, responses of watches are lost."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.silent = False
        self.lost = 0
        """Responses that were lost."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method
        if method.endswith(_STREAMS):
            return grpc.stream_stream_rpc_method_handler(self._streamed(method))
        call = self._channel.unary_unary(method)

        async def answer(request: bytes, context: grpc.aio.ServicerContext) -> Any:
            return await call(request, timeout=context.time_remaining())

        return grpc.unary_unary_rpc_method_handler(answer)

    def _streamed(self, method: str) -> Any:
        call = self._channel.stream_stream(method)

        async def answers(requests: AsyncIterator[bytes], _: grpc.aio.ServicerContext) -> AsyncGenerator[bytes, None]:
            async for response in call(requests):
                if self.silent and method.endswith("/Watch"):
                    self.lost += 1
                else:
                    yield response

        return answers


@contextlib.asynccontextmanager
async def silent_member(url: str) -> AsyncGenerator[tuple[SilentMember, str], None]:
    """Serve a member that can fall silent. Yields it and its URL."""
    async with grpc.aio.insecure_channel(url.removeprefix("http://")) as channel:
        member = SilentMember(channel)
        server = grpc.aio.server(handlers=[member])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield member, f"http://127.0.0.1:{port}"
        finally:
            await server.stop(None)
