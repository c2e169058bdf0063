"""Whether a gRPC server has taken what has come: what it has not is cut off when it stops, and nobody knows unheard."""

from __future__ import annotations

import grpc
import grpc.aio

__all__ = ["SETTLE", "settled"]

# No service has it. The core hands calls of all methods to the loop in the order in which they come, one at a turn, so
# whoever waited before this one has been taken when it is answered. Under load that takes seconds.
SETTLE = "/polycall.v1.Settling/Settle"
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0))


async def settled(address: str, timeout_s: float) -> bool:
    """Wait until the server at an address has taken all calls that came before this one; False if it takes longer."""
    async with grpc.aio.insecure_channel(address, options=_OPTIONS) as channel:
        call = channel.unary_unary(SETTLE)
        try:
            await call(b"", timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNIMPLEMENTED
    return True
