"""A bare grpc.aio server that answers every call with the bytes it got: the floor under any call of ours.

Prints its port and serves until its standard input ends.
"""

import asyncio
import sys

import grpc


async def _echo(request: bytes, _: object) -> bytes:
    return request


class _Anything(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        return grpc.unary_unary_rpc_method_handler(_echo)


async def main() -> None:
    """Serves."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([_Anything()])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
